"""Fingerprints of what compiled code depends on besides its source: the compiler, and the functions that it calls."""

from __future__ import annotations

import hashlib
import os
import sys
from functools import cache
from typing import TYPE_CHECKING

from stellar.language.inline import describe_forms

if TYPE_CHECKING:
    from stellar.language.library import Function

_LENGTH = 16  # of 64 hexadecimal digits


@cache
def language_fingerprint() -> str:
    """Return a digest of the source files of the language and of Java's semantics, which it is built on.

    Of an installation without source files, the version decides.
    """
    digest = hashlib.sha256()
    language = os.path.dirname(__file__)
    for package in (language, os.path.join(os.path.dirname(language), "java")):
        for directory, inner, names in os.walk(package):
            inner.sort()
            for name in sorted(names):
                if name.endswith(".py"):
                    digest.update(_read(os.path.join(directory, name)))
    return digest.hexdigest()[:_LENGTH]


def _read(file: str) -> bytes:
    with open(file, "rb", buffering=0) as source:
        return source.read()


def function_fingerprint(function: Function) -> str | None:
    """Return a digest of the declaration of a function and the source file of its module; None if it has none.

    The declaration is included besides the file, as the classes of arguments may be defined elsewhere, and a program
    can declare one implementation in several ways.
    """
    module = function.implementation.__module__
    content = (_hash_own_module if module.startswith("stellar.") else _hash_module)(module)
    if content is None:
        return None
    declaration = (
        function.implementation.__qualname__,
        function.ignores_surplus,
        function.comprehension,
        function.prepare is not None,
        function.pure,
        sorted(function.borrows),
        describe_forms(function.inline),
        function.needs_context,
        repr(function.returns),
        [(each.kind, each.optional, each.repeated, each.name) for each in function.parameters],
    )
    return hashlib.sha256(repr(declaration).encode(errors="surrogatepass") + content).hexdigest()[:_LENGTH]


def _hash_module(name: str) -> bytes | None:
    """Return a digest of the source file of a module; None if it has none."""
    file = getattr(sys.modules.get(name), "__file__", None)
    try:
        return None if file is None else hashlib.sha256(_read(file)).digest()
    except OSError:
        return None


# Those of other packages may be reloaded
_hash_own_module = cache(_hash_module)
