"""Directories of HDFS and of object stores as targets, with the credentials of the global configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from stellar.functions.hdfs import connect_hdfs
from stellar.language.context import GlobalSettings
from stellar.pipeline.connectors.remote import FsspecDirectory, HdfsDirectory, RemoteFiles

_HDFS_SCHEMES = ("hdfs", "webhdfs", "swebhdfs")


def open_remote(target: str, settings: Mapping[str, Any]) -> RemoteFiles:
    """Return the files of a directory by its URL. Raises ValueError if it is invalid, or a package is missing.

    settings: the global configuration, with `hdfs.uri`, `hdfs.principal` and `hdfs.keytab`
    """
    parts = urlsplit(target)
    if parts.scheme not in _HDFS_SCHEMES:
        return FsspecDirectory(target)
    own = {"hdfs.uri": f"{parts.scheme}://{parts.netloc}"} if parts.netloc else {}
    return HdfsDirectory(connect_hdfs(GlobalSettings({**settings, **own})), parts.path)
