"""Formatting of exceptions with their stacks, as Python prints them, once for each location.

Formatting the frames of a traceback takes a hundred times as long as raising the exception. They are the same each time
that the same code fails at the same instructions, so only the message is formatted again.
"""

from __future__ import annotations

import traceback
import weakref
from types import CodeType, TracebackType

MOST_STACKS = 256
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"
# Exceptions to which Python adds suggestions or other lines
_SPECIAL = (SyntaxError, NameError, AttributeError, ImportError, BaseExceptionGroup)

# By the ids of the code objects and the instructions: the code objects, which may be gone and their ids be reused, and
# the formatted frames
_stacks: dict[tuple[int, ...], tuple[list[weakref.ref[CodeType]], str]] = {}


def format_exception(error: BaseException) -> str:
    """Return an exception with its causes and their stacks as a string, as `traceback.format_exception` does."""
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None:
        seen.add(id(current))
        if isinstance(current, _SPECIAL) or hasattr(current, "__notes__"):
            return "".join(traceback.format_exception(error))
        parts.append(_format_one(current))
        before, link = current.__cause__, _CAUSE
        if before is None and not current.__suppress_context__:
            before, link = current.__context__, _CONTEXT
        if before is not None and id(before) not in seen:
            parts.append(link)
            current = before
        else:
            current = None
    return "".join(reversed(parts))


def _format_one(error: BaseException) -> str:
    """Return an exception and its stack, without the exceptions before it."""
    module, name = type(error).__module__, type(error).__qualname__
    if module not in ("__main__", "builtins"):
        name = f"{module}.{name}"
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 (as Python does, for a class whose messages fail)
        message = "<exception str() failed>"
    stack = "" if error.__traceback__ is None else _format_stack(error.__traceback__)
    return f"{stack}{name}: {message}\n" if message else f"{stack}{name}\n"


def _format_stack(stack: TracebackType) -> str:
    codes: list[CodeType] = []
    instructions: list[int] = []
    frame: TracebackType | None = stack
    while frame is not None:
        codes.append(frame.tb_frame.f_code)
        instructions.append(frame.tb_lasti)
        frame = frame.tb_next
    key = (*map(id, codes), *instructions)
    known = _stacks.get(key)
    if known is not None and [ref() for ref in known[0]] == codes:
        return known[1]
    text = "Traceback (most recent call last):\n" + "".join(traceback.format_tb(stack))
    if len(_stacks) >= MOST_STACKS:
        _stacks.clear()
    _stacks[key] = [weakref.ref(code) for code in codes], text
    return text
