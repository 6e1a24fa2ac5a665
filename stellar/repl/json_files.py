"""JSON objects from files and bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_variables(file: str) -> dict[str, Any]:
    """Return the JSON object in a file. Raise OSError if it can't be read, ValueError if it is not a JSON object."""
    return parse_json_object(Path(file).expanduser().read_bytes(), file)


def parse_json_object(data: bytes, name: str) -> dict[str, Any]:
    """Parse a JSON object. Raise ValueError, with the name of the source, for anything else."""
    try:
        value = json.loads(data)
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{name} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f'{name}: expected a JSON object, such as {{"bytes": 1}}')
    return value
