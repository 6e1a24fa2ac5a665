"""Files in HDFS, by WebHDFS. If an operation fails, the error is logged and the result is null or false, as in Metron.

`hdfs.uri` in the global configuration names the file system, such as `hdfs://node1:8020` or `webhdfs://node1:9870`; the
default is that of Hadoop's own configuration in $HADOOP_CONF_DIR. Paths without a leading slash are relative to the
user's home directory in HDFS. Reading a file above 100 MB is an error; `files.max.bytes` in the global configuration is
the limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from typing import TYPE_CHECKING

from stellar.functions.files import FileFamily, FileStatus
from stellar.language.context import Context, GlobalSettings
from stellar.language.library import stellar

if TYPE_CHECKING:
    from stellar.net.hadoop.webhdfs import WebHdfs

URI, PRINCIPAL, KEYTAB = "hdfs.uri", "hdfs.principal", "hdfs.keytab"


class Hdfs:
    """The HDFS that expressions use, connected on first use.

    Add one to a context, made of a WebHdfs, to use it instead of the configured one.
    """

    def __init__(self, connect: Callable[[], WebHdfs]) -> None:
        self._connect = connect
        self._connection: WebHdfs | None = None

    def connection(self) -> WebHdfs:
        """Return the connection. Raises ValueError if no HDFS is configured."""
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class HdfsFiles:
    """An HDFS as a FileSystem, in which paths may be relative to the user's home directory."""

    def __init__(self, client: WebHdfs) -> None:
        self._client = client

    def list(self, path: str) -> Iterable[FileStatus]:
        """See FileSystem."""
        absolute = self._resolve(path)
        return [
            FileStatus(
                name=status.name or absolute.rpartition("/")[2],
                permission=status.permission,
                owner=status.owner,
                group=status.group,
                size=status.size,
                modified=int(status.modified),
            )
            for status in self._client.list(absolute)
        ]

    def remove(self, path: str, *, recursive: bool) -> None:
        """See FileSystem."""
        self._client.delete(self._resolve(path), recursive=recursive)

    def write(self, path: str, data: bytes) -> None:
        """See FileSystem."""
        self._client.write(self._resolve(path), data)

    def read(self, path: str, most: int) -> bytes:
        """See FileSystem."""
        return self._client.read(self._resolve(path), most)

    def _resolve(self, path: str) -> str:
        return path if path.startswith("/") else f"{self._client.home()}/{path}".removesuffix("/.")


def _get_family(context: Context) -> FileFamily:
    return FileFamily(
        "HDFS",
        lambda: HdfsFiles(context.get_or_make(Hdfs, _make_hdfs).connection()),
        context.get(GlobalSettings) or {},
    )


def _make_hdfs(settings: GlobalSettings) -> Hdfs:
    return Hdfs(lambda: connect_hdfs(settings))


def read_hdfs_file(settings: GlobalSettings, path: str, most: int) -> bytes:
    """Return the content of a file in the HDFS that the global configuration names.

    Raises FileNotFoundError if it does not exist, OSError if it cannot be read, and ValueError if HDFS is not
    configured or the file has more than `most` bytes.
    """
    with closing(connect_hdfs(settings)) as client:
        return HdfsFiles(client).read(path, most)


def connect_hdfs(settings: GlobalSettings) -> WebHdfs:
    """Return a client for the HDFS that the global configuration names. Raises ValueError if it names none."""
    from pathlib import Path

    from stellar.net.hadoop.site import read_configuration
    from stellar.net.hadoop.webhdfs import open_hdfs

    principal, keytab = (settings.get(key) for key in (PRINCIPAL, KEYTAB))
    auth = None
    if principal or keytab or read_configuration("core").get("hadoop.security.authentication") == "kerberos":
        from stellar.net.hadoop.kerberos import Identity, Negotiate

        auth = Negotiate(Identity(principal, Path(str(keytab)) if keytab else None))
    uri = settings.get(URI)
    return open_hdfs(None if uri is None else str(uri), auth=auth)


@stellar("HDFS_LS")
def list_files(context: Context, path: str | None = ".") -> str:
    """List the files in a directory of HDFS as a table of permissions, owner, group, size, time and name. Files that
    were least recently modified are first.

    path: Path of the directory, or of a single file; the user's home directory by default
    returns: The table, a string of several lines; an empty table if the path is null or cannot be listed

        '(empty)' in HDFS_LS('')  // true
        '(empty)' in HDFS_LS(null)  // true
        HDFS_LS(5)  // error
    """
    return _get_family(context).list_files(path)


@stellar("HDFS_RM")
def remove(context: Context, path: str | None, recursive: object = False) -> bool:
    """Delete a file or directory in HDFS.

    path: The path
    recursive: True to remove a directory with its content; false by default, when only empty directories are removed
    returns: True if the path no longer exists; false if it is null or cannot be removed

        HDFS_RM('')  // false
        HDFS_RM(null)  // false
        HDFS_RM('file', 'perhaps')  // error
    """
    return _get_family(context).remove(path, recursive)


@stellar("HDFS_WRITE")
def write(context: Context, content: str | None, path: str | None) -> bool:
    """Write a string to a file in HDFS, encoded as UTF-8. Existing files are replaced, missing directories created.

    content: The string
    path: Path of the file
    returns: True if the file was written; false if an argument is null or the file cannot be written

        HDFS_WRITE(null, 'file')  // false
        HDFS_WRITE('text', null)  // false
        HDFS_WRITE(5, 'file')  // error
    """
    return _get_family(context).write(content, path)


@stellar("HDFS_READ")
def read_string(context: Context, path: str | None) -> str | None:
    """Return the content of a file in HDFS, decoded as UTF-8.

    path: Path of the file
    returns: The content as a string; null if the path is null or the file cannot be read. A file
        above `files.max.bytes` is an error

        HDFS_READ('')  // null
        HDFS_READ(null)  // null
        HDFS_READ(5)  // error
    """
    return _get_family(context).read(path)


@stellar("HDFS_READ_LINES")
def read_lines(context: Context, path: str | None) -> list[str] | None:
    """Return the lines of a file in HDFS, decoded as UTF-8.

    path: Path of the file
    returns: List of the lines, without line ends; null if the path is null or the file cannot be read. A file
        above `files.max.bytes` is an error

        HDFS_READ_LINES('')  // null
        HDFS_READ_LINES(null)  // null
        HDFS_READ_LINES(5)  // error
    """
    return _get_family(context).read_lines(path)
