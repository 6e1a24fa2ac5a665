"""Draws screenshots of the shell for the documentation: `python -m scripts.screens` writes docs/screens/*.svg.

Requires tmux, and the extra `dev` for rich, which draws the images.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

from scripts.terminal import Terminal

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "screens"
PROGRAMS = Path(sys.executable).parent
COLUMNS = 100
START_SECONDS = 30.0
PROMPT = r"^\[Stellar\]>>> ?\s*\Z"

# The template of rich would fetch a font from the web
FRAME = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: {char_height}px;
line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
<rect fill="#1b1e24" x="0" y="0" width="{width}" height="{height}" rx="8" />
<g transform="translate({terminal_x}, 12)" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def completion(terminal: Terminal) -> None:
    """Completions within an unfinished call."""
    terminal.type("url := 'http://www.example.co.uk/a'")
    terminal.press("Enter")
    terminal.wait_for(r"^http://www")
    time.sleep(1)  # until the functions are loaded, whose descriptions are shown
    terminal.type("host := DOMAIN_REMOVE_SUBDOMAINS(URL_")
    terminal.wait_for(r"URL_TO_PORT\(")
    terminal.press("Down")
    terminal.wait_for(r">>> host := DOMAIN_REMOVE_SUBDOMAINS\(URL_TO_HOST\(")


def models(terminal: Terminal) -> None:
    """The models of a registry, and a call of a model."""
    terminal.type("%maas")
    terminal.press("Enter")
    terminal.wait_for(r"healthy")
    terminal.type("MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host' : 'cnn.com'})")
    terminal.press("Enter")
    terminal.wait_for(r"is_malicious")
    terminal.type("%explain MAP_GET('is_malicious', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host' : 'cnn.com'}))")
    terminal.press("Enter")
    terminal.wait_for(r"EXPRESSION[\s\S]*╚")


SCREENS: dict[str, Callable[[Terminal], None]] = {"completion": completion, "models": models}


def main() -> None:
    """Draw all screenshots."""
    FOLDER.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder, service(Path(folder, "registry")) as registry:
        for name, type_lines in SCREENS.items():
            home = Path(folder, name)
            home.mkdir()
            command = [str(PROGRAMS / "stellar"), "--registry", str(registry)]
            terminal = Terminal(home, command, columns=COLUMNS, lines=40)
            try:
                terminal.wait_for(PROMPT)
                type_lines(terminal)
                write_picture(FOLDER / f"{name}.svg", draw(terminal.capture(colours=True)))
            finally:
                terminal.close()


def write_picture(file: Path, content: str) -> None:
    """Write a picture, unless it differs only in the ports of the instances, which are different in each run."""
    if not file.exists() or _without_ports(file.read_text(encoding="utf-8")) != _without_ports(content):
        file.write_text(content, encoding="utf-8")


def _without_ports(content: str) -> str:
    return re.sub(r"(?<=127\.0\.0\.1:)\d+", "", content)


@contextmanager
def service(registry: Path) -> Iterator[Path]:
    """Run a service in a registry, with two instances of the example model."""
    maas = str(PROGRAMS / "maas")
    model = str(ROOT / "examples" / "squid" / "models" / "mock_dga")
    registry.mkdir()
    process = subprocess.Popen([maas, "serve", "--registry", str(registry)], stderr=subprocess.DEVNULL)
    try:
        _await_service(maas, registry)
        options = ["-mo", "ADD", "-n", "dga", "-v", "1.0", "-ni", "2", "-m", "512", "-lmp", model, "-hmp", "dga/1.0"]
        subprocess.run([maas, "deploy", "--registry", str(registry), *options, "--wait"], check=True)
        yield registry
    finally:
        process.terminate()
        process.wait()


def _await_service(maas: str, registry: Path) -> None:
    """Wait until the service runs; `deploy --wait` fails without one."""
    deadline = time.monotonic() + START_SECONDS
    command = [maas, "status", "--registry", str(registry)]
    while (
        "service: running"
        not in (status := subprocess.run(command, check=False, capture_output=True, text=True)).stdout
    ):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the service did not start in {START_SECONDS:g} s: {status.stdout}{status.stderr}")
        time.sleep(0.1)


def draw(screen: str) -> str:
    """Draw the screen of a terminal, including colours, as SVG."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in _squeeze([Text.from_ansi(line) for line in screen.split("\n")]):
        console.print(line, soft_wrap=True)
    return console.export_svg(code_format=FRAME, unique_id="screen")


def _squeeze(lines: list[Text]) -> list[Text]:
    """Replace several empty lines with one, and remove those at the end."""
    filled = [bool(line.plain.strip()) for line in lines]
    last = max(index for index, is_filled in enumerate(filled) if is_filled)
    return [lines[index] for index in range(last + 1) if filled[index] or filled[index - 1]]


if __name__ == "__main__":
    main()
