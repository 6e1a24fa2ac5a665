"""A headless Chromium, driven by Selenium, for tests of pages and their screenshots.

Chromium and its driver are those of the system: `apt-get install chromium chromium-driver`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

PROGRAMS = ("chromium", "chromedriver")


@contextmanager
def open_browser(width: int = 1200, height: int = 900) -> Iterator[Chrome]:
    """Start a browser with a viewport of a size in CSS pixels, and close it at the end."""
    options = Options()
    options.binary_location = shutil.which("chromium") or "chromium"
    for argument in ("headless=new", "disable-dev-shm-usage", "disable-gpu", "hide-scrollbars", "lang=en-US"):
        options.add_argument(f"--{argument}")
    if os.getuid() == 0:  # the sandbox needs another user
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        resize(browser, width, height)
        yield browser
    finally:
        browser.quit()


def resize(browser: Chrome, width: int, height: int) -> None:
    """Set the size of the viewport, which may be narrower than a window can be."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
