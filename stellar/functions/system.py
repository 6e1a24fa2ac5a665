"""Environment variables and system properties."""

from __future__ import annotations

import getpass
import locale
import os
import platform
import tempfile
from collections.abc import Callable

from stellar.language.context import Context
from stellar.language.library import stellar


class SystemProperties(dict[str, str]):
    """System properties for SYSTEM_PROPERTY_GET; they take precedence over those that Python provides."""


# Java's properties with an equivalent in Python. Language, country and time zone are those that functions use
_PROPERTIES: dict[str, Callable[[], str]] = {
    "file.encoding": lambda: locale.getencoding().upper(),
    "file.separator": lambda: os.sep,
    "java.io.tmpdir": tempfile.gettempdir,
    "line.separator": lambda: os.linesep,
    "os.arch": platform.machine,
    "os.name": platform.system,
    "os.version": platform.release,
    "path.separator": lambda: os.pathsep,
    "user.country": lambda: "US",
    "user.dir": os.getcwd,
    "user.home": lambda: os.path.expanduser("~"),
    "user.language": lambda: "en",
    "user.name": getpass.getuser,
    "user.timezone": lambda: "UTC",
}


@stellar("SYSTEM_ENV_GET")
def environment(name: object = None) -> str | None:
    """Look up an environment variable.

    name: Name of the variable
    returns: The value; null if the variable is not set, or if the name is not a string

        SYSTEM_ENV_GET('NO_SUCH_VARIABLE')  // null
        SYSTEM_ENV_GET(5)  // null
        SYSTEM_ENV_GET()  // null
    """
    if not isinstance(name, str):
        return None
    try:
        return os.environ.get(name)
    except UnicodeEncodeError:  # not a possible name of a variable
        return None


@stellar("SYSTEM_PROPERTY_GET")
def system_property(context: Context, key: object = None) -> str | None:
    """Look up a system property by its name in Java: `user.home`, `user.dir`, `user.name`,
    `user.language`, `user.country`, `user.timezone`, `os.name`, `os.version`, `os.arch`, `file.encoding`,
    `file.separator`, `path.separator`, `line.separator` and `java.io.tmpdir`. The embedding program can add others.

    key: Name of the property
    returns: The value; null if the property is not set, or if the name is not a string

        SYSTEM_PROPERTY_GET('user.language')  // 'en'
        SYSTEM_PROPERTY_GET('no.such.property')  // null
        SYSTEM_PROPERTY_GET(null)  // null
        SYSTEM_PROPERTY_GET('')  // error
    """
    if not isinstance(key, str):
        return None
    if not key:
        raise ValueError("SYSTEM_PROPERTY_GET expected a non-empty string as key")
    if (own := context.get(SystemProperties)) is not None and key in own:
        return own[key]
    if key not in _PROPERTIES:
        return None
    try:
        return _PROPERTIES[key]()
    except (OSError, KeyError, ImportError):  # a removed working directory, or a user without a name
        return None
