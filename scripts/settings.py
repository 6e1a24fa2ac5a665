"""Generates the table of client settings: `python -m scripts.settings` writes it into docs/models/call.md."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from stellar.maas.client.settings import ClientSettings

PAGE = Path(__file__).parent.parent / "docs" / "models" / "call.md"
_TABLE = re.compile(r"(?<=<!-- settings -->\n).*?(?=<!-- end of settings -->)", re.DOTALL)


def page(text: str) -> str:
    """Return the text of the page with the present table."""
    return _TABLE.sub(lambda _: table(), text)


def table() -> str:
    """Return a row for each setting: key, default, meaning."""
    rows = (
        f"| `{each.metadata['key']}` | {_shown(each.default)} | {each.metadata['help']} |\n"
        for each in fields(ClientSettings)
    )
    return "| key | default | meaning |\n| --- | --- | --- |\n" + "".join(rows)


def _shown(default: Any) -> str:
    if default is None or default in ((), ""):
        return ""
    if isinstance(default, bool):
        return "true" if default else "false"
    return f"`{default}`" if isinstance(default, str) else f"{default:g}" if default < 1e6 else f"{default:.0f}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
