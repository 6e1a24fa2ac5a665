"""What Hadoop's configuration says, as its own programs read it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from xml.etree import ElementTree

VARIABLE = "HADOOP_CONF_DIR"


def configured(name: str) -> dict[str, str]:
    """The properties in `<name>-site.xml` of $HADOOP_CONF_DIR; none where there is no such file.

    Raises ValueError if it is not of that kind, OSError if it can't be read.
    """
    folder = os.environ.get(VARIABLE)
    file = Path(folder or "", f"{name}-site.xml")
    return read_site(file) if folder and file.is_file() else {}


def read_site(file: Path) -> dict[str, str]:
    """The properties of one of Hadoop's site files, with `${name}` replaced by that property.

    Raises ValueError if it is not of that kind, OSError if it can't be read.
    """
    try:
        properties = ElementTree.fromstring(file.read_bytes()).iter("property")
    except ElementTree.ParseError as error:
        raise ValueError(f"{file}: {error}") from None
    said = {(p.findtext("name") or "").strip(): (p.findtext("value") or "").strip() for p in properties}
    return {name: _filled(value, said) for name, value in said.items()}


def _filled(value: str, said: dict[str, str]) -> str:
    return re.sub(r"\$\{([^}]+)\}", lambda match: said.get(match[1], match[0]), value)
