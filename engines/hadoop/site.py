"""Shared by Hadoop's servers: site files and start commands."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from engines.daemon import JVM, Daemon, jars

Properties = Mapping[str, object]

LOG = """log4j.rootLogger=INFO,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n
"""
LOCALHOST = "127.0.0.1"


def libraries() -> Path:
    """Return the directory of Hadoop's jars."""
    return jars(Path(__file__).parent)


def write_site(folder: Path, **files: Properties) -> Path:
    """Write site files: `write_site(folder, core={"fs.defaultFS": "file:///"})` makes folder/core-site.xml."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log4j.properties").write_text(LOG)
    for name, properties in files.items():
        file = folder / ("capacity-scheduler.xml" if name == "scheduler" else f"{name}-site.xml")
        file.write_text(_as_xml(properties))
    return folder


def _as_xml(properties: Properties) -> str:
    rows = "".join(
        f"  <property><name>{escape(name)}</name><value>{escape(_text(value))}</value></property>\n"
        for name, value in properties.items()
    )
    return f'<?xml version="1.0"?>\n<configuration>\n{rows}</configuration>\n'


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def java_home() -> str:
    """Return the installation directory of `java`."""
    return str(Path(shutil.which("java") or "java").resolve().parents[1])


def command(main: str, folder: Path, conf: Path, *words: str, options: tuple[str, ...] = ()) -> list[str]:
    """Return the command that runs a main class of Hadoop."""
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    opened = "--add-opens=java.base/java.lang=ALL-UNNAMED"
    return [
        "java", *JVM, opened, f"-Djava.io.tmpdir={temporary}", *options, "-cp", f"{conf}:{libraries()}/*", main, *words
    ]  # fmt: skip


def server(main: str, folder: Path, conf: Path, ready: Callable[[], bool], options: tuple[str, ...] = ()) -> Daemon:
    """Return a server of Hadoop, not started yet."""
    environment = {"HADOOP_CONF_DIR": str(conf), "JAVA_HOME": java_home(), "HADOOP_HOME": str(folder)}
    return Daemon(command(main, folder, conf, options=options), folder, ready, environment)


def get_json(url: str) -> Any:
    """Return the JSON response of a server; None if there is no response."""
    with suppress(OSError, ValueError), urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)
    return None


def user() -> str:
    """Return the user name, for servers without authentication."""
    return pwd.getpwuid(os.getuid()).pw_name
