"""Settings declared once: the key, the default, the check and the help of each.

Parsing, error messages and the tables in the documentation are derived from the declarations, which are fields of a
dataclass:

    timeout: float = setting("http.timeout.ms", 1000.0, number(1, DAY_MS), "Milliseconds for the whole response.")
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import Field, field, fields
from typing import Any, NoReturn

from stellar.util.abbreviate import quote

Check = Callable[[Any], Any]

DAY_MS = 86_400_000


def setting(key: str, default: Any, check: Check, help: str, *, is_secret: bool = False) -> Any:
    """Declare a field of a dataclass of settings.

    key: its name in a configuration
    check: returns the value to use; raises ValueError with the expected values
    help: one sentence, for the documentation
    is_secret: do not show its value in errors and in the string form of the settings
    """
    return field(default=default, repr=not is_secret, metadata={"key": key, "check": check, "help": help})


def declared(settings: type) -> dict[str, Field[Any]]:
    """Return the fields of a dataclass that are settings, by key."""
    return {each.metadata["key"]: each for each in fields(settings) if each.metadata}


class InvalidSetting(ValueError):
    """An invalid value of a setting.

    key: the name of the setting
    reason: the expected values
    """

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"invalid {key}: {reason}")
        self.key = key
        self.reason = reason


def check_value(key: str, value: Any, check: Check) -> Any:
    """Return the value to use for a setting. Raises InvalidSetting."""
    try:
        return check(value)
    except ValueError as error:
        raise InvalidSetting(key, f"{error}, got {quote(value)}") from None


def check_fields(settings: Any) -> None:
    """Check the settings that are not the default; replace each by the value to use. For `__post_init__`.

    Raises InvalidSetting.
    """
    for key, each in declared(type(settings)).items():
        value = getattr(settings, each.name)
        if value != each.default:
            check = each.metadata["check"]
            used = check_value(key, value, check) if each.repr else _check_secret(key, value, check)
            object.__setattr__(settings, each.name, used)


def _check_secret(key: str, value: Any, check: Check) -> Any:
    try:
        return check(value)
    except ValueError as error:
        raise InvalidSetting(key, str(error)) from None


def reject(expected: str) -> NoReturn:
    """Raise ValueError with the expected values."""
    raise ValueError(f"expected {expected}")


# --- checks


def number(low: float, high: float) -> Check:
    """Return a check for a number within limits, which may be given as a string."""
    expected = f"a number from {low:,} to {high:,}"

    def check(value: Any) -> float:
        try:
            found = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            found = math.nan
        return found if low <= found <= high else reject(expected)

    return check


def integer(low: int, high: int) -> Check:
    """Return a check for an integer within limits, which may be given as a string."""
    check_number = number(low, high)
    expected = f"an integer from {low:,} to {high:,}"

    def check(value: Any) -> int:
        try:
            found = check_number(value)
        except ValueError:
            found = math.nan
        return int(found) if found == found // 1 else reject(expected)

    return check


def one_of(*values: str) -> Check:
    """Return a check for one of several strings."""
    return lambda value: value if value in values else reject(" or ".join(values))


def list_of(check: Check) -> Check:
    """Return a check for a list, of which a single value may be given without brackets; it returns a tuple."""
    return lambda value: tuple(map(check, value if isinstance(value, list | tuple) else [value]))


def boolean(value: Any) -> bool:
    """Check for true or false."""
    return value if isinstance(value, bool) else reject("true or false")


def string(value: Any) -> str:
    """Check for a string."""
    return value if isinstance(value, str) else reject("a string")


def strings(value: Any) -> tuple[str, ...]:
    """Check for a list of strings."""
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return tuple(value)
    reject("a list of strings")


def readable_file(value: Any) -> str:
    """Check for the path of a readable file."""
    if not isinstance(value, str) or not os.path.isfile(value) or not os.access(value, os.R_OK):
        reject("a readable file")
    return value


def anything(value: Any) -> Any:
    """Accept any value."""
    return value
