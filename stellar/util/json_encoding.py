"""Encoders of compact JSON that are made once, instead of once for each value as those of the standard library."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, NoReturn


def make_encoder(default: Callable[[Any], object] | None = None, *, ensure_ascii: bool) -> Callable[[Any], str]:
    """Return a function that returns the JSON of a value, without spaces.

    JSONEncoder makes a new encoder in C for each value, which costs as much as encoding a small map.

    default: returns the JSON value of a value that JSON does not have; by default that is an error
    ensure_ascii: True to escape characters outside of ASCII

    The function raises ValueError for NaN and infinite numbers, TypeError for a value without a JSON form, and
    RecursionError for a value that is nested too deeply or contains itself.
    """
    make: Callable[..., Callable[[Any, int], Iterable[str]]] | None = getattr(json.encoder, "c_make_encoder", None)
    convert = _reject if default is None else default
    if make is not None:
        quote: Callable[[str], str] = (
            json.encoder.encode_basestring_ascii if ensure_ascii else json.encoder.encode_basestring
        )
        chunks = make(None, convert, quote, None, ":", ",", False, False, False)
        return lambda value: "".join(chunks(value, 0))
    return json.JSONEncoder(  # for a Python without the C encoder
        ensure_ascii=ensure_ascii, check_circular=False, allow_nan=False, separators=(",", ":"), default=convert
    ).encode


def _reject(value: object) -> NoReturn:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
