"""Which model store the options mean: a directory, or HDFS; and who we are to Hadoop."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from maas_runtime.store.base import LocalStore, ModelSize, ModelStore
from stellar.net.hadoop.site import configured

if TYPE_CHECKING:
    import httpx

    from stellar.net.hadoop.webhdfs import WebHdfs

HDFS = ("hdfs", "webhdfs", "swebhdfs")


def options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--store",
        metavar="DIR|URI",
        help="the model store: a directory, or hdfs://HOST:PORT, or webhdfs://HOST:PORT (default: with -zq Hadoop's "
        "file system, if $HADOOP_CONF_DIR says where; else `store` in the registry's directory)",
    )
    most = ModelSize()
    add("--model-files", type=int, default=most.files, metavar="N", help="files that a model may have (%(default)s)")
    add("--model-mb", type=int, default=most.megabytes, metavar="MB", help="how large it may be (%(default)s MB)")
    add("--principal", metavar="NAME@REALM", help="who we are to Hadoop, by Kerberos")
    add("--keytab", type=Path, metavar="FILE", help="the principal's key; without it, the ticket of kinit is used")


def name(given: argparse.Namespace) -> str:
    """The directory or URI of the model store."""
    if given.store:
        return str(given.store)
    if given.zk_quorum is not None:
        from stellar.net.hadoop.webhdfs import default_uri

        if uri := default_uri():
            return uri
    return str(given.registry / "store")


def in_hdfs(given: argparse.Namespace) -> bool:
    return urlsplit(name(given)).scheme in HDFS


@contextmanager
def model_store(given: argparse.Namespace) -> Iterator[ModelStore]:
    """Where the files of models are.

    Raises ValueError for a name that can't be meant.
    """
    place, most = name(given), ModelSize(given.model_files, given.model_mb)
    if in_hdfs(given):
        from maas_runtime.store.hdfs import HdfsStore

        with hdfs(given) as connection:
            yield HdfsStore(connection, most)
        return
    if "://" in place and not place.startswith("file:///"):
        raise ValueError(
            f"--store {place}: a model store is a directory, or at hdfs://HOST:PORT or webhdfs://HOST:PORT"
        )
    yield LocalStore(Path(place.removeprefix("file://")), getattr(given, "file_root", ()), most)


def hdfs(given: argparse.Namespace) -> WebHdfs:
    """The HDFS that is the model store."""
    from stellar.net.hadoop.webhdfs import connected

    return connected(name(given), auth=auth(given))


def elsewhere(given: argparse.Namespace) -> str:
    """How another machine names the model store."""
    if not in_hdfs(given):
        return str(Path(name(given).removeprefix("file://")).absolute())
    with hdfs(given) as connection:
        urls = connection.urls
    if len(urls) > 1:  # it needs Hadoop's configuration there, as it does here
        return name(given)
    scheme, authority, *_ = urlsplit(urls[0])
    return f"{'swebhdfs' if scheme == 'https' else 'webhdfs'}://{authority}"


def auth(given: argparse.Namespace) -> httpx.Auth | None:
    """How we show Hadoop who we are; None where it believes what one says.

    Raises ValueError for a keytab that can't be used, ModuleNotFoundError where Kerberos' packages are missing.
    """
    secure = configured("core").get("hadoop.security.authentication") == "kerberos"
    if not secure and given.principal is None and given.keytab is None:
        return None
    from stellar.net.hadoop.kerberos import Identity, Negotiate

    return Negotiate(Identity(given.principal, given.keytab))


def identity(given: argparse.Namespace) -> list[str]:
    """The options by which another process is the same one to Hadoop."""
    known = {"--principal": given.principal, "--keytab": given.keytab and given.keytab.absolute()}
    return [f"{option}={value}" for option, value in known.items() if value is not None]
