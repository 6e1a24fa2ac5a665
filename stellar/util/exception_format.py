"""Formatting of exceptions with their stacks, as Python prints them, once for each location.

Formatting the frames of a traceback takes a hundred times as long as raising the exception. They are the same each time
that the same code fails at the same instructions, so only the message is formatted again.
"""

from __future__ import annotations

import traceback
from types import CodeType, TracebackType

MOST_STACKS = 256
# Bytes of code that is referred to; more would take much memory
LONGEST_CODE = 100_000
_HEADING = "Traceback (most recent call last):\n"
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"
# Exceptions to which Python adds suggestions or other lines
_SPECIAL = (SyntaxError, NameError, AttributeError, ImportError, BaseExceptionGroup)

_SPECIAL_NAME = "(special)"
_names: dict[type[BaseException], str] = {}
# The formatted frames, with their code objects, by the ids of these and the instructions. The objects are referred to,
# as otherwise their ids could be reused
_stacks: dict[tuple[int, ...], tuple[list[CodeType], str]] = {}


def format_exception(error: BaseException) -> str:
    """Return an exception with its causes and their stacks as a string, as `traceback.format_exception` does."""
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None:
        seen.add(id(current))
        name = _names.get(type(current)) or _find_name(type(current))
        if name is _SPECIAL_NAME or hasattr(current, "__notes__"):
            return "".join(traceback.format_exception(error))
        parts.append(_format_one(current, name))
        before, link = current.__cause__, _CAUSE
        if before is None and not current.__suppress_context__:
            before, link = current.__context__, _CONTEXT
        if before is not None and id(before) not in seen:
            parts.append(link)
            current = before
        else:
            current = None
    return "".join(reversed(parts))


def _find_name(cls: type[BaseException]) -> str:
    """Return the name of a class as Python prints it."""
    name = cls.__qualname__ if cls.__module__ in ("__main__", "builtins") else f"{cls.__module__}.{cls.__qualname__}"
    if len(_names) >= MOST_STACKS:
        _names.clear()
    _names[cls] = name = _SPECIAL_NAME if issubclass(cls, _SPECIAL) else name
    return name


def _format_one(error: BaseException, name: str) -> str:
    """Return an exception and its stack, without the exceptions before it."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 (as Python does, for a class whose messages fail)
        message = "<exception str() failed>"
    stack = "" if error.__traceback__ is None else _format_stack(error.__traceback__)
    return f"{stack}{name}: {message}\n" if message else f"{stack}{name}\n"


def _format_stack(stack: TracebackType) -> str:
    numbers: list[int] = []
    frame: TracebackType | None = stack
    while frame is not None:
        numbers.append(id(frame.tb_frame.f_code))
        numbers.append(frame.tb_lasti)
        frame = frame.tb_next
    key = tuple(numbers)
    if (known := _stacks.get(key)) is not None:
        return known[1]
    text = f"{_HEADING}{''.join(traceback.format_tb(stack))}"
    codes = [frame.f_code for frame, _ in traceback.walk_tb(stack)]
    if max(len(code.co_code) for code in codes) <= LONGEST_CODE:
        if len(_stacks) >= MOST_STACKS:
            _stacks.clear()
        _stacks[key] = codes, text
    return text
