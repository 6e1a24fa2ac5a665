"""What the shell shows."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from stellar.conversions import to_text
from stellar.library import stellar
from stellar.text_tables import text_table

_NOT_GIVEN: Mapping[Any, Any] = MappingProxyType({})


@stellar("SHELL_MAP2TABLE")
def map_to_table(map_: Mapping[Any, Any] | None = _NOT_GIVEN) -> str | None:
    """A map drawn as a table of its keys and values.

    map: The map
    returns: The table, a text of several lines; an empty table for null; null if no map is given

        SHELL_MAP2TABLE({'a': 1}) == SHELL_MAP2TABLE({'a': '1'})  // true
        'null' in SHELL_MAP2TABLE({'x': null})  // true
        '(empty)' in SHELL_MAP2TABLE(null)  // true
        SHELL_MAP2TABLE()  // null
        SHELL_MAP2TABLE('a')  // error
    """
    if map_ is _NOT_GIVEN:
        return None
    items = {} if map_ is None else map_
    return text_table(("KEY", "VALUE"), [(to_text(key), to_text(value)) for key, value in items.items()])
