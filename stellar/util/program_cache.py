"""The cache that this program uses, if any, and where commands have theirs.

    stellar.cache("/var/cache/scoring")

Commands use `stellar` in the user's cache directory, or the directory in the environment variable STELLAR_CACHE; the
value off disables caches.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stellar.util.disk_cache import Pack

VARIABLE = "STELLAR_CACHE"
OFF = "off"

_current: Pack | None = None


def current_cache() -> Pack | None:
    """Return the cache that is in use, otherwise None."""
    return _current


def cache(directory: str | os.PathLike[str] | None, name: str | None = None) -> None:
    """Store compiled expressions in a directory, so that later runs of this program start faster.

    directory: the directory, which is created if it does not exist; None to stop using a cache
    name: the name of this program; by default the path of its script. Programs with the same name share what is stored

    Nothing is read from a directory that another user can change, since what it contains is executed. What is stored is
    used again only for the same expressions, options, functions, and versions of Python and of this package. It is
    written at the end of the process; failures to write are ignored. The environment variable STELLAR_CACHE=off
    disables the cache.

    Raises OSError, with the reason and the fix, if the directory cannot be created or is not safe.
    """
    if os.environ.get(VARIABLE) == OFF:
        return
    _use(None if directory is None else _open(directory, os.path.abspath(sys.argv[0]) if name is None else name))


@contextmanager
def command_cache(name: str, config: object = None) -> Iterator[None]:
    """Use the cache of commands within the context, and write it at the end.

    name: the name of the command
    config: the file, directory or other location of its configuration; each has a cache of its own
    """
    directory = os.environ.get(VARIABLE) or find_default_directory()
    if directory is None or directory == OFF:
        yield
        return
    try:
        where = os.path.realpath(config) if isinstance(config, str | os.PathLike) else config
        pack = _open(directory, name if where is None else f"{name} {where}")
    except OSError as error:
        if VARIABLE in os.environ:
            print(f"warning: no cache: {error}; unset {VARIABLE}, or set it to {OFF}", file=sys.stderr)
        yield
        return
    before = _current
    _use(pack)
    try:
        yield
    finally:
        _use(before)


def save_cache() -> None:
    """Write what is not written yet, before the program runs for long."""
    if _current is not None:
        _current.save()


def _open(directory: str | os.PathLike[str], name: str) -> Pack:
    from stellar.util.disk_cache import CacheDirectory, Pack  # programs without a cache do not need it

    return Pack(CacheDirectory(directory), name)


def _use(pack: Pack | None) -> None:
    global _current
    before, _current = _current, pack
    if before is not None:
        before.save()
    elif pack is not None:
        _save_at_exit()


def _save_at_exit() -> None:
    import atexit

    atexit.unregister(save_cache)
    atexit.register(save_cache)


def find_default_directory() -> str | None:
    """Return the user's directory for caches by the conventions of the platform; None without a home directory."""
    if sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        # By the specification of XDG_CACHE_HOME, relative paths must be ignored
        given = os.environ.get("XDG_CACHE_HOME", "")
        base = given if os.path.isabs(given) else os.path.expanduser("~/.cache")
    return os.path.join(base, "stellar") if os.path.isabs(base) else None
