"""Fingerprints of what compiled code depends on besides its source: the compiler, and the functions that it calls."""

from __future__ import annotations

import hashlib
import os
import sys
from functools import cache
from typing import TYPE_CHECKING

from stellar.language.inline import describe_forms
from stellar.util.file_digests import digest_files, list_sources

if TYPE_CHECKING:
    from stellar.language.library import Function


@cache
def language_fingerprint() -> str:
    """Return a digest of the source files of the language and of Java's semantics, which it is built on.

    Of an installation without source files, the version decides.
    """
    language = os.path.dirname(__file__)
    java = os.path.join(os.path.dirname(language), "java")
    return digest_files(list_sources(language, os.path.join(language, "compiler"), java))


def function_fingerprint(function: Function) -> str | None:
    """Return a digest of the declaration of a function and the source file of its module; None if it has none.

    The declaration is included besides the file, as the classes of arguments may be defined elsewhere, and a program
    can declare one implementation in several ways.
    """
    module = function.implementation.__module__
    content = (_digest_own_module if module.startswith("stellar.") else _digest_module)(module)
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
        function.describe_parameters(),
    )
    return content + hashlib.sha256(repr(declaration).encode(errors="surrogatepass")).hexdigest()[:16]


def _digest_module(name: str) -> str | None:
    """Return a digest of the source file of a module; None if it has none."""
    file = getattr(sys.modules.get(name), "__file__", None)
    try:
        return None if file is None else digest_files([file])
    except OSError:
        return None


# Those of other packages may be reloaded
_digest_own_module = cache(_digest_module)
