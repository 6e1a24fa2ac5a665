"""Command-line options of the model store, and of the identity for Hadoop."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from maas_runtime.store.base import LocalStore, ModelSize, ModelStore
from stellar.net.hadoop.site import read_configuration

if TYPE_CHECKING:
    import httpx

    from stellar.net.hadoop.webhdfs import WebHdfs

HDFS = ("hdfs", "webhdfs", "swebhdfs")

# Names of the options in the parsed arguments
IDENTITY = ("principal", "keytab")
OPTIONS = ("store", "model_files", "model_mb", *IDENTITY)


def add_store_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for a command that reads or writes models' files."""
    add_location_options(parser)
    _add_size_options(parser)


def add_location_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that select the model store."""
    add = parser.add_argument
    add(
        "--store",
        metavar="DIR|URI",
        help="the model store: a directory, hdfs://HOST:PORT or webhdfs://HOST:PORT (default: with -zq Hadoop's file "
        "system, if $HADOOP_CONF_DIR configures one; otherwise `store` in the registry's directory)",
    )
    add("--principal", metavar="NAME@REALM", help="Kerberos principal for Hadoop")
    add("--keytab", type=Path, metavar="FILE", help="keytab of the principal; without it, the ticket of kinit is used")


def _add_size_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    max_size = ModelSize()
    add(
        "--model-files",
        type=int,
        default=max_size.files,
        metavar="N",
        help="maximum number of files of a model (%(default)s)",
    )
    add(
        "--model-mb",
        type=int,
        default=max_size.megabytes,
        metavar="MB",
        help="maximum size of a model (%(default)s MB)",
    )


def store_name(args: argparse.Namespace) -> str:
    """Return the directory or URI of the model store."""
    if args.store:
        return str(args.store)
    if args.zk_quorum is not None:
        from stellar.net.hadoop.webhdfs import read_default_uri

        if uri := read_default_uri():
            return uri
    return str(args.registry / "store")


def is_in_hdfs(args: argparse.Namespace) -> bool:
    return urlsplit(store_name(args)).scheme in HDFS


@contextmanager
def model_store(args: argparse.Namespace) -> Iterator[ModelStore]:
    """Open the model store.

    Raises ValueError for an invalid --store.
    """
    name, max_size = store_name(args), ModelSize(args.model_files, args.model_mb)
    if is_in_hdfs(args):
        from maas_runtime.store.hdfs import HdfsStore

        with connect_hdfs(args) as connection:
            yield HdfsStore(connection, max_size)
        return
    if "://" in name and not name.startswith("file:///"):
        raise ValueError(f"invalid --store {name}: expected a directory, hdfs://HOST:PORT or webhdfs://HOST:PORT")
    yield LocalStore(Path(name.removeprefix("file://")), getattr(args, "file_root", ()), max_size)


def connect_hdfs(args: argparse.Namespace, uri: str | None = None) -> WebHdfs:
    """Return a client of an HDFS; by default, of the one with the model store, or else of Hadoop's default."""
    from stellar.net.hadoop.webhdfs import open_hdfs

    return open_hdfs(uri or (store_name(args) if is_in_hdfs(args) else None), auth=make_auth(args))


def resolve_shared_name(args: argparse.Namespace) -> str:
    """Return the name of the model store for processes on other machines."""
    if not is_in_hdfs(args):
        return str(Path(store_name(args).removeprefix("file://")).absolute())
    with connect_hdfs(args) as connection:
        urls = connection.urls
    if len(urls) > 1:  # several name nodes: other machines need Hadoop's configuration too
        return store_name(args)
    scheme, authority, *_ = urlsplit(urls[0])
    return f"{'swebhdfs' if scheme == 'https' else 'webhdfs'}://{authority}"


def uses_kerberos(args: argparse.Namespace) -> bool:
    """Return whether the options or Hadoop's configuration select Kerberos.

    Raises ValueError or OSError if that configuration cannot be read.
    """
    if args.principal is not None or args.keytab is not None:
        return True
    return read_configuration("core").get("hadoop.security.authentication") == "kerberos"


def make_auth(args: argparse.Namespace) -> httpx.Auth | None:
    """Return the authentication for Hadoop; None if it uses none.

    Raises ValueError for an invalid keytab, ModuleNotFoundError if the packages for Kerberos are not installed.
    """
    if not uses_kerberos(args):
        return None
    from stellar.net.hadoop.kerberos import Identity, Negotiate

    return Negotiate(Identity(args.principal, args.keytab))


def identity_options(args: argparse.Namespace) -> list[str]:
    """Return the options that give another process the same identity for Hadoop."""
    values = {"--principal": args.principal, "--keytab": args.keytab and args.keytab.absolute()}
    return [f"{option}={value}" for option, value in values.items() if value is not None]
