"""A griffe extension for the API reference: paragraphs of `name: description` in docstrings become lists."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

FIELD = re.compile(r"^(\w+(?:, \w+)*): (?=\S)", re.MULTILINE)


class FieldLists(Extension):
    """Rewrites the docstring of each object that griffe loads."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = format_fields(obj.docstring.value)


def format_fields(docstring: str) -> str:
    """Return a docstring in which each paragraph that begins with `name: description` is a Markdown list."""
    return "\n\n".join(
        FIELD.sub(r"- `\1`: ", paragraph) if FIELD.match(paragraph) else paragraph
        for paragraph in docstring.split("\n\n")
    )
