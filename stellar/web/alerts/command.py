"""`stellar-pipeline alerts`: serves a page with the alerts of a pipeline."""

from __future__ import annotations

import argparse
import ipaddress
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stellar.pipeline.command_line import OK, OptionError
from stellar.pipeline.connectors.sinks import is_database, is_search
from stellar.pipeline.services import add_registry_options
from stellar.util.abbreviate import quote
from stellar.util.optional_imports import import_optional
from stellar.web.alerts.access import LOOPBACK_NAMES, AccessRules, is_loopback, read_token

if TYPE_CHECKING:
    from stellar.web.alerts.pages import Site
    from stellar.web.alerts.queries import AlertSource

EXTRA = "alerts"
DESCRIPTION = (
    "Serve a web page with the alerts that a pipeline has written: their scores, reasons and fields. Alerts can be "
    "annotated, escalated and closed; that is stored in a file beside the documents, which are only read. Without a "
    "token, the page is for this machine only."
)
EXIT_STATUS = """\
exit status: 0 if it is stopped by a signal; 1 if the documents or the address can't be used; 2 for invalid options"""
_LISTEN_HELP = (
    "address and port (default %(default)s); port 0 selects a free one. Another machine can connect to 0.0.0.0"
)
_TOKEN_HELP = "file with the token that users enter to log in, and that programs send as `Authorization: Bearer TOKEN`"
_HEADER_HELP = (
    "header in which a reverse proxy names the user, such as X-Forwarded-User; the proxy must remove it from requests"
)
_SOURCE_HELP = (
    "what `stellar-pipeline run --output` has written: a SQLite file, or opensearch:URL,... or elasticsearch:URL,..."
)
_INDEX_HELP = "indices of a search server, as names and patterns; by default all that a pipeline writes, without errors"
_NOTES_HELP = (
    "SQLite file for annotations; by default beside the database, with the name NAME.notes.sqlite. Required for a "
    "search server"
)
_CONFIG_HELP = (
    "directory of the configuration, to show each rule with its values for a document; its global.json also has the "
    "credentials for a search server"
)
_SECONDS_OF_TRANSFER = 5.0  # for the response of a query that is within its limit
_SECONDS_HELP = "time limit of a query (default %(default)s)"
_HOST_HELP = "host name in the URL of the page, by which a reverse proxy or a browser calls it; may be repeated"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("source", metavar="SOURCE", help=_SOURCE_HELP)
    add("--index", metavar="NAME,...", help=_INDEX_HELP)
    add("--create-indexes", action="store_true", help="create the indexes that the database lacks, then serve the page")
    add("--listen", metavar="HOST:PORT", type=_read_address, default="127.0.0.1:8180", help=_LISTEN_HELP)
    add("--token-file", metavar="FILE", help=_TOKEN_HELP)
    add("--proxy-user-header", metavar="NAME", help=_HEADER_HELP)
    add(
        "--trusted-proxy",
        metavar="ADDRESS",
        type=_read_network,
        action="append",
        default=[],
        help="address or network of the reverse proxy, whose header is trusted; may be repeated",
    )
    add("--allowed-host", metavar="NAME", action="append", default=[], help=_HOST_HELP)
    add("--https", action="store_true", help="browsers use https, by a reverse proxy; cookies are sent by it only")
    add("--root-path", metavar="PATH", type=_read_root, default="", help="prefix of the paths, which a proxy removes")
    add("--notes", metavar="FILE", help=_NOTES_HELP)
    add("--query-seconds", metavar="SECONDS", type=_read_seconds, default=5.0, help=_SECONDS_HELP)
    add("--config", metavar="DIR", type=_read_directory, help=_CONFIG_HELP)
    add_registry_options(parser)
    add("--debug", action="store_true", help="print the Python traceback of an error")
    parser.set_defaults(quiet=True)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    access = make_access_rules(options)
    for package in ("starlette", "uvicorn", "jinja2"):
        try:
            import_optional(package, EXTRA)
        except LookupError as error:
            raise ValueError(str(error)) from error
    from stellar.web.alerts.queries import SourceError

    try:
        with ExitStack() as stack:
            _serve(_make_site(options, access, stack), options.listen)
    except SourceError as error:
        raise OSError(str(error)) from error
    return OK


def make_access_rules(options: argparse.Namespace) -> AccessRules:
    """Return who may see the page. Raises ValueError for options that would leave it open, or contradict each other."""
    host, _ = options.listen if isinstance(options.listen, tuple) else _read_address(options.listen)
    hosts = {name.lower() for name in options.allowed_host}
    if options.token_file and options.proxy_user_header:
        raise OptionError("--token-file and --proxy-user-header exclude each other; choose one")
    if options.token_file:
        return AccessRules(token=read_token(options.token_file), hosts=hosts)
    if options.proxy_user_header:
        if not options.trusted_proxy or not hosts:
            raise OptionError("--proxy-user-header requires --trusted-proxy ADDRESS and --allowed-host NAME")
        return AccessRules(user_header=options.proxy_user_header.lower(), proxies=options.trusted_proxy, hosts=hosts)
    if options.trusted_proxy:
        raise OptionError("--trusted-proxy has an effect only with --proxy-user-header NAME")
    if not is_loopback(host):
        raise OptionError(
            f"other machines can connect to {host}, so users must log in; pass --token-file FILE, or "
            "--proxy-user-header NAME behind a reverse proxy"
        )
    return AccessRules(hosts={*LOOPBACK_NAMES, *hosts})


def _make_site(options: argparse.Namespace, access: AccessRules, stack: ExitStack) -> Site:
    from stellar.web.alerts.explanations import ConfiguredExplainer
    from stellar.web.alerts.notes import AlertNotes
    from stellar.web.alerts.pages import Site

    source = open_source(options)
    stack.callback(source.close)
    path = options.notes or _name_notes(options.source)
    if not is_search(options.source) and Path(path).resolve() == Path(options.source).resolve():
        raise OptionError("--notes must be another file than the documents")
    notes = AlertNotes(path)
    stack.callback(notes.close)
    explainer = ConfiguredExplainer(options.config, options, stack) if options.config else None
    return Site(source, notes, access, explainer, options.root_path, is_secure=options.https)


def open_source(options: argparse.Namespace) -> AlertSource:
    """Return the source of documents that the options name. Raises SourceError, and ValueError for its name."""
    if is_search(options.source):
        return _open_search(options)
    if options.index is not None:
        raise OptionError("--index has an effect only with opensearch:URL or elasticsearch:URL")
    if not is_database(options.source) and not Path(options.source).is_file():
        raise OptionError(
            f"unknown source {quote(options.source)}; expected a SQLite file, opensearch:URL or elasticsearch:URL"
        )
    return _open_database(options)


def _open_database(options: argparse.Namespace) -> AlertSource:
    from stellar.web.alerts.sqlite_source import SqliteSource, create_alert_indexes

    if options.create_indexes:
        created = create_alert_indexes(options.source)
        print(f"stellar-pipeline: created indexes: {', '.join(created) or 'none'}", file=sys.stderr)
    source = SqliteSource(options.source, options.query_seconds)
    if not source.has_indexes:
        print(
            f"stellar-pipeline: {options.source} has no indexes for alerts, so they can't be sorted; stop the "
            "pipelines that write to it, and pass --create-indexes",
            file=sys.stderr,
        )
    return source


def _open_search(options: argparse.Namespace) -> AlertSource:
    from stellar.pipeline.config.loading import load_globals
    from stellar.pipeline.connectors.search.client import SearchClient
    from stellar.pipeline.connectors.search.settings import make_search_settings
    from stellar.pipeline.connectors.search.target import parse_search_target
    from stellar.web.alerts.search_source import INDICES, SearchSource

    if options.create_indexes:
        raise OptionError("--create-indexes is for SQLite; `stellar-pipeline template` creates templates of a server")
    if options.notes is None:
        raise OptionError("pass --notes FILE, a SQLite file for annotations: documents of a server are only read")
    settings = load_globals(options.config).settings if options.config else {}
    target = make_search_settings(parse_search_target(options.source), settings)
    client = SearchClient(replace(target, seconds=options.query_seconds + _SECONDS_OF_TRANSFER))
    try:
        return SearchSource(client, options.index or INDICES, options.query_seconds)
    except BaseException:
        client.close()
        raise


def _name_notes(source: str) -> str:
    path = Path(source)
    return str(path.with_name(f"{path.stem}.notes.sqlite"))


def _serve(site: Site, address: Any) -> None:
    """Serve the page until the process is stopped."""
    from stellar.web.alerts.server import format_url, make_server, open_listener, stop_by_signals

    server = make_server(site)
    host, port = address if isinstance(address, tuple) else _read_address(address)
    listener = open_listener(host, port)
    with stop_by_signals(server):
        print(f"stellar-pipeline: alerts of {site.source.name} at {format_url(site, listener)}", flush=True)
        server.run(sockets=[listener])


# -- Options ----------------------------------------------------------------------------------------------------------


def _read_address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"invalid address {quote(text)}: expected HOST:PORT, such as 127.0.0.1:8180")
    return host, int(port)


def _read_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"invalid address: {error}") from error


def _read_root(text: str) -> str:
    path = text.rstrip("/")
    if path and (
        not path.startswith("/") or path.startswith("//") or not all(c.isalnum() or c in "/-_." for c in path)
    ):
        raise argparse.ArgumentTypeError(f"invalid path {quote(text)}: expected /NAME")
    return path


def _read_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 600:
        raise argparse.ArgumentTypeError(f"invalid time {quote(text)}: expected 0.1 to 600 seconds")
    return seconds


def _read_directory(text: str) -> Path:
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"no such directory: {text}")
    return Path(text)
