"""Generates the sessions in docs/shell.md: `python -m scripts.shell_page` replaces the output in the page.

A session is a fenced block of the language `shell` with the output at a terminal of 100 columns, without colours. All
blocks are one session.
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


def update_page(source: str) -> str:
    """Return the source of the page with the current output in its sessions."""
    session = Session()

    def execute(block: re.Match[str]) -> str:
        lines = "".join(f"{_format_input(line)}\n{_output(session, line)}" for line in _inputs(block[1]))
        return f"```shell\n{lines}```"

    return _FENCED.sub(execute, source)


def _inputs(block: str) -> Iterator[str]:
    for lines in block.split(PROMPT)[1:]:
        first, *others = lines.split("\n")
        yield "\n".join([first, *(line.removeprefix(MORE) for line in others if line.startswith(MORE))])


def _format_input(line: str) -> str:
    return PROMPT + line.replace("\n", f"\n{MORE}")


def _output(session: Session, line: str) -> str:
    try:
        value = session.execute(line)
        output = [] if value is None or value == "" else [as_text(value, WIDTH).removesuffix("\n")]
    except StellarError as error:
        output = [f"[!] {error}"]
    return "".join(f"{each}\n" for each in (*output, *session.take_notes()))


def mask_durations(source: str) -> str:
    """Replace all durations, which differ in each run, with one."""
    return re.sub(r"[\d.]+ (?:µs|ms)\b", "5 µs", source)


def write_page() -> None:
    """Write the page, unless only durations differ."""
    present = PAGE.read_text(encoding="utf-8")
    if mask_durations(current := update_page(present)) != mask_durations(present):
        PAGE.write_text(current, encoding="utf-8")


if __name__ == "__main__":
    write_page()
