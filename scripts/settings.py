"""Generates the tables of settings in the documentation: `python -m scripts.settings`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from maas_runtime.runner.limits import Limits
from stellar.functions.rest.settings import NO_HOSTS, RestLimits, RestSettings
from stellar.language.limits import EvaluationLimits
from stellar.maas.client.settings import ClientSettings
from stellar.maas.zookeeper import ZooKeeperSettings
from stellar.util.settings import declared

DOCS = Path(__file__).parent.parent / "docs"

# A page, the name of the marker around a table, and the settings in it
TABLES = (
    ("embedding.md", "evaluation limits", EvaluationLimits),
    ("models/call.md", "settings", ClientSettings),
    ("rest-settings.md", "rest settings", RestSettings),
    ("rest-settings.md", "rest limits", RestLimits),
    ("models/operate.md", "zookeeper settings", ZooKeeperSettings),
    ("models/operate.md", "limits", Limits),
)
PAGES = tuple(dict.fromkeys(DOCS / page for page, _, _ in TABLES))


def render(page: Path, text: str) -> str:
    """Return the text of a page with the present tables."""
    for name, marker, settings in TABLES:
        if DOCS / name == page:
            table = re.compile(rf"(?<=<!-- {marker} -->\n).*?(?=<!-- end of {marker} -->)", re.DOTALL)
            text = table.sub(lambda _, settings=settings: table_of(settings), text)
    return text


def table_of(settings: type) -> str:
    """Return a row for each setting: key, default, meaning."""
    rows = (
        f"| `{key}` | {_format(each.default)} | {each.metadata['help']} |\n" for key, each in declared(settings).items()
    )
    return "| key | default | meaning |\n| --- | --- | --- |\n" + "".join(rows)


def _format(default: Any) -> str:
    if default is None or default in ((), "", NO_HOSTS):
        return ""
    if isinstance(default, bool):
        return "true" if default else "false"
    if isinstance(default, tuple):
        return ", ".join(map(_format, default))
    return f"`{default}`" if isinstance(default, str) else f"{default:g}" if default < 1e6 else f"{default:.0f}"


if __name__ == "__main__":
    for each in PAGES:
        each.write_text(render(each, each.read_text(encoding="utf-8")), encoding="utf-8")
