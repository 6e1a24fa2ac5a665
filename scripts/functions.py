"""Makes docs/functions.md, the manual of the functions, from what they declare: `python -m scripts.functions`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from stellar.functions import FAMILIES, PLANNED, SHELL_FAMILIES, SHELL_LIBRARY
from stellar.language.library import Function

PAGE = Path(__file__).parent.parent / "docs" / "functions.md"

INTRODUCTION = """\
# Functions

<!-- Made by `python -m scripts.functions` from the functions themselves; not for editing. -->

Every function that an expression can call, by family. `?` marks an argument that may be left out, `...` one that may
be repeated. What is said to be a text, a list and so on must be one: anything else is an error that names the function
and the argument. `null` is named where it is taken. Surplus arguments are evaluated and ignored, unless it is said that
they are refused. In the examples, what stands behind `//` is the value of what stands before it; `error` means that it
is refused.

In the shell, `?NAME` shows the same. [Compatibility](compatibility.md) tells where an answer differs from Metron's.
"""


def page() -> str:
    """The whole page."""
    return "\n".join(
        [INTRODUCTION, *contents(), *(line for family in families() for line in section(*family)), *planned()]
    )


def families() -> list[tuple[str, list[str], bool]]:
    """Each family's module, its functions, and whether only the shell has it."""
    return [
        (family, sorted(names.split()), families is SHELL_FAMILIES)
        for families in (FAMILIES, SHELL_FAMILIES)
        for family, names in families.items()
    ]


def contents() -> Iterator[str]:
    yield "| family | functions |"
    yield "|---|---|"
    for family, names, _ in families():
        links = ", ".join(f"[{name}](#{name.lower()})" for name in names)
        yield f"| [{title(family)}](#{anchor(family)}) | {links} |"
    yield ""


# Families whose module's name would not do as a heading
TITLES = {
    "byte_patterns": "Byte patterns",
    "formats": "Formatted texts",
    "fuzzy": "Fuzzy matching",
    "hdfs": "Files in HDFS",
    "geo": "Places and networks of addresses",
    "jsons": "JSON",
    "maas": "Models as a service",
    "regexps": "Regular expressions",
    "rest": "Web services",
    "shell": "The shell",
    "system": "The system",
}


def title(family: str) -> str:
    return TITLES.get(family) or family.capitalize()


def anchor(family: str) -> str:
    return re.sub(r"[^\w -]", "", title(family).lower()).replace(" ", "-")


def section(family: str, names: list[str], shell: bool) -> Iterator[str]:
    yield f"## {title(family)}"
    yield ""
    introduction = (import_module(f"stellar.functions.{family}").__doc__ or "").strip()
    yield " ".join(introduction.split("\n\n")[0].split())
    yield ""
    if shell:
        yield "Only the shell has these, and a pipeline whose configuration asks for them."
        yield ""
    for name in names:
        yield from entry(SHELL_LIBRARY[name])


def entry(function: Function) -> Iterator[str]:
    yield f"### {function.name}"
    yield ""
    yield f"`{function.usage}`"
    yield ""
    yield function.help.summary
    yield ""
    for parameter in function.parameters:
        null = " or null" if parameter.kind.null and parameter.kind.classes else ""
        yield f"- `{parameter.name}` ({parameter.kind.noun}{null}): {parameter.description}"
    yield f"- returns: {function.help.returns}"
    yield ""
    if not function.ignores_surplus:
        yield "Surplus arguments are refused."
        yield ""
    if function.help.details:
        yield function.help.details
        yield ""
    if function.help.examples:
        yield "```stellar"
        yield function.help.examples
        yield "```"
        yield ""


def planned() -> Iterator[str]:
    yield "## Not here yet"
    yield ""
    yield "Metron has these too. They come with the part of this project that they belong to; until then they are"
    yield "unknown functions, and the error says so."
    yield ""
    for part, names in PLANNED.items():
        yield f"- With {part}: {', '.join(f'`{name}`' for name in sorted(names.split()))}"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(page())
