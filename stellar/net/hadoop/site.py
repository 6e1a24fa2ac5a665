"""Hadoop's configuration files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from xml.etree import ElementTree

VARIABLE = "HADOOP_CONF_DIR"


def read_configuration(name: str) -> dict[str, str]:
    """Return the properties in `<name>-site.xml` of $HADOOP_CONF_DIR; empty if the file does not exist.

    Raises ValueError if the file is not valid XML, OSError if it can't be read.
    """
    folder = os.environ.get(VARIABLE)
    file = Path(folder or "", f"{name}-site.xml")
    return read_site(file) if folder and file.is_file() else {}


def read_site(file: Path) -> dict[str, str]:
    """Return the properties of a site file, with `${name}` replaced by the value of that property.

    Raises ValueError if the file is not valid XML, OSError if it can't be read.
    """
    try:
        properties = ElementTree.fromstring(file.read_bytes()).iter("property")
    except ElementTree.ParseError as error:
        raise ValueError(f"invalid XML in {file}: {error}") from None
    values = {(p.findtext("name") or "").strip(): (p.findtext("value") or "").strip() for p in properties}
    return {name: _substitute(value, values) for name, value in values.items()}


def _substitute(value: str, values: dict[str, str]) -> str:
    return re.sub(r"\$\{([^}]+)\}", lambda match: values.get(match[1], match[0]), value)
