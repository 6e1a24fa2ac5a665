"""Files in HDFS, by its REST interface. What goes wrong is logged, and the answer is null or false, as in Metron.

Where it is stands in the global configuration as `hdfs.uri`, such as `hdfs://node1:8020` or `webhdfs://node1:9870`, or
in Hadoop's own, in $HADOOP_CONF_DIR. A path that does not begin with a slash is below the user's home there.
"""

from __future__ import annotations

import logging
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from stellar.functions.dates import date_format
from stellar.functions.files import COLUMNS
from stellar.language.context import Context, GlobalSettings
from stellar.language.conversions import to_boolean
from stellar.language.library import stellar
from stellar.language.runtime import described
from stellar.util.text_tables import text_table

if TYPE_CHECKING:
    from stellar.net.hadoop.webhdfs import Status, WebHdfs

log = logging.getLogger(__name__)

T = TypeVar("T")
URI, PRINCIPAL, KEYTAB = "hdfs.uri", "hdfs.principal", "hdfs.keytab"


class Hdfs:
    """The file system that expressions reach; connected when it is first wanted.

    Hand a context one of your own, made of a WebHdfs, to have it used.
    """

    def __init__(self, connect: Callable[[], WebHdfs]) -> None:
        self._connect = connect
        self._connection: WebHdfs | None = None

    def connection(self) -> WebHdfs:
        """The connection. Raises ValueError if it is not said where HDFS is."""
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@stellar("HDFS_LS")
def list_files(context: Context, path: str | None = ".") -> str:
    """The files in a directory, drawn as a table of permissions, owner, group, size, time and name; the oldest first.

    path: The directory, or a single file; the user's home if left out
    returns: The table, a text of several lines; an empty table if the path is null or can't be listed

        '(empty)' in HDFS_LS('')  // true
        '(empty)' in HDFS_LS(null)  // true
        HDFS_LS(5)  // error
    """
    return text_table(COLUMNS, _tried("HDFS_LS", context, path, _listed, []))


@stellar("HDFS_RM")
def remove(context: Context, path: str | None, recursive: object = False) -> bool:
    """Remove a file or a directory.

    path: Its path
    recursive: Whether a directory that is not empty is removed, with all that is in it; false if left out
    returns: True if nothing is there now; false if the path is null, or if it can't be removed

        HDFS_RM('')  // false
        HDFS_RM(null)  // false
        HDFS_RM('file', 'perhaps')  // error
    """
    deep = to_boolean(recursive)
    if deep is None:
        raise ValueError(f"HDFS_RM takes true or false as recursive, not {described(recursive)}")

    def remove(hdfs: WebHdfs, path: str) -> bool:
        hdfs.delete(path, recursive=deep)
        return True

    return _tried("HDFS_RM", context, path, remove, False)


@stellar("HDFS_WRITE")
def write(context: Context, content: str | None, path: str | None) -> bool:
    """Write a text to a file, in place of what it holds. Directories are made where they are missing.

    content: The text, which is written in UTF-8
    path: The path of the file
    returns: True if it is written; false if an argument is null, or if it can't be written

        HDFS_WRITE(null, 'file')  // false
        HDFS_WRITE('text', null)  // false
        HDFS_WRITE(5, 'file')  // error
    """
    if content is None:
        return False

    def write(hdfs: WebHdfs, path: str) -> bool:
        hdfs.write(path, content.encode())
        return True

    return _tried("HDFS_WRITE", context, path, write, False)


@stellar("HDFS_READ")
def read_text(context: Context, path: str | None) -> str | None:
    """The text in a file, which is read as UTF-8.

    path: The path of the file
    returns: The text; null if the path is null, or if the file can't be read

        HDFS_READ('')  // null
        HDFS_READ(null)  // null
        HDFS_READ(5)  // error
    """
    return _tried("HDFS_READ", context, path, _text, None)


@stellar("HDFS_READ_LINES")
def read_lines(context: Context, path: str | None) -> list[str] | None:
    """The lines of a file, which is read as UTF-8.

    path: The path of the file
    returns: The list of the lines, without their ends; null if the path is null, or if the file can't be read

        HDFS_READ_LINES('')  // null
        HDFS_READ_LINES(null)  // null
        HDFS_READ_LINES(5)  // error
    """
    return _tried("HDFS_READ_LINES", context, path, lambda hdfs, path: _lines(_text(hdfs, path)), None)


def _tried(function: str, context: Context, path: str | None, act: Callable[[WebHdfs, str], T], otherwise: T) -> T:
    """What comes of it; if that is an error, it is logged."""
    if path is None:
        return otherwise
    try:
        if not path:
            raise ValueError("the path is empty")
        hdfs = context.get_or_make(Hdfs, _configured).connection()
        return act(hdfs, path if path.startswith("/") else f"{hdfs.home()}/{path}".removesuffix("/."))
    except (OSError, ValueError, ModuleNotFoundError) as error:
        log.warning("%s(%r): %s", function, path, error)
        return otherwise


def _configured(settings: GlobalSettings) -> Hdfs:
    return Hdfs(lambda: _connected(settings))


def _connected(settings: GlobalSettings) -> WebHdfs:
    from pathlib import Path

    from stellar.net.hadoop.site import configured
    from stellar.net.hadoop.webhdfs import connected

    principal, keytab = (settings.get(key) for key in (PRINCIPAL, KEYTAB))
    auth = None
    if principal or keytab or configured("core").get("hadoop.security.authentication") == "kerberos":
        from stellar.net.hadoop.kerberos import Identity, Negotiate

        auth = Negotiate(Identity(principal, Path(str(keytab)) if keytab else None))
    uri = settings.get(URI)
    return connected(None if uri is None else str(uri), auth=auth)


def _listed(hdfs: WebHdfs, path: str) -> list[tuple[str, ...]]:
    found = sorted(hdfs.list(path), key=lambda status: (int(status.modified), status.name))
    return [_row(status, status.name or path.rpartition("/")[2]) for status in found]


def _row(status: Status, name: str) -> tuple[str, ...]:
    return (
        stat.filemode(status.permission)[1:],
        status.owner,
        status.group,
        str(status.size),
        str(date_format("MMM d, yyyy, h:mm:ss a", int(status.modified) * 1000)),
        name,
    )


def _text(hdfs: WebHdfs, path: str) -> str:
    return hdfs.read(path).decode("utf-8", "replace")


def _lines(text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]
