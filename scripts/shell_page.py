"""Executes the sessions in docs/shell.md: `python -m scripts.shell_page` writes the page with what is shown now.

A session is a fenced block of the kind `shell`. It shows what a terminal of 100 columns shows, without colours; all of
them are one session.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from stellar.language.errors import StellarError
from stellar.repl.rendering import as_text
from stellar.repl.session import Session

PAGE = Path(__file__).parent.parent / "docs" / "shell.md"
PROMPT, MORE = "[Stellar]>>> ", "         ... "
WIDTH = 100
_FENCED = re.compile(r"^```shell\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def page(text: str) -> str:
    """The text of the page, with what is shown now in its sessions."""
    session = Session()

    def executed(block: re.Match[str]) -> str:
        lines = "".join(f"{_as_typed(line)}\n{_shown(session, line)}" for line in _typed(block[1]))
        return f"```shell\n{lines}```"

    return _FENCED.sub(executed, text)


def _typed(block: str) -> Iterator[str]:
    for part in block.split(PROMPT)[1:]:
        first, *others = part.split("\n")
        yield "\n".join([first, *(line.removeprefix(MORE) for line in others if line.startswith(MORE))])


def _as_typed(line: str) -> str:
    return PROMPT + line.replace("\n", f"\n{MORE}")


def _shown(session: Session, line: str) -> str:
    try:
        value = session.execute(line)
        shown = [] if value is None or value == "" else [as_text(value, WIDTH).removesuffix("\n")]
    except StellarError as error:
        shown = [f"[!] {error}"]
    return "".join(f"{each}\n" for each in (*shown, *session.taken_notes()))


def without_durations(text: str) -> str:
    """Return the page with one duration for all, which differ from run to run."""
    return re.sub(r"[\d.]+ (?:µs|ms)\b", "5 µs", text)


def write_page() -> None:
    """Write the page, unless only durations differ."""
    present = PAGE.read_text(encoding="utf-8")
    if without_durations(current := page(present)) != without_durations(present):
        PAGE.write_text(current, encoding="utf-8")


if __name__ == "__main__":
    write_page()
