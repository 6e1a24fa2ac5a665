"""Variables and configurations read from JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass


def read_variables(file: str) -> dict[str, Any]:
    """The variables in a file: the members of a JSON object.

    Raises ValueError or OSError, with the file's name, if it holds no such thing or can't be read.
    """
    return json_object(Path(file).expanduser().read_bytes(), file)


def json_object(data: bytes, where: str) -> dict[str, Any]:
    """The JSON object that bytes hold. Raises ValueError, which says where they are from, if they hold none."""
    try:
        value = json.loads(data)
    except UnicodeDecodeError as error:
        raise ValueError(f"{where} is not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{where} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError:
        raise ValueError(f"{where} nests too deep to be read") from None
    if not isinstance(value, dict):
        raise ValueError(f'{where} holds no JSON object, such as {{"bytes": 1}}')
    return value
