"""A client for WebHDFS, the REST interface of HDFS."""

from __future__ import annotations

import getpass
import os
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import PurePosixPath
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self
from urllib.parse import quote, urlsplit

import httpx

from stellar.net.hadoop.site import VARIABLE, read_configuration
from stellar.util.abbreviate import quote as quote_value
from stellar.util.filesystems import FileTooLarge
from stellar.util.forks import reset_after_fork

CONNECT_SECONDS, RESPONSE_SECONDS = 3.0, 60.0
PREFIX = "/webhdfs/v1"
NAME_NODE_PORT, SECURE_NAME_NODE_PORT = 9870, 9871
CHUNK = 1 << 20
SCHEMES = ("hdfs", "webhdfs", "swebhdfs")

# The Python exceptions for Java's
_ERRORS: Mapping[str, type[OSError]] = {
    "FileNotFoundException": FileNotFoundError,
    "FileAlreadyExistsException": FileExistsError,
    "ParentNotDirectoryException": NotADirectoryError,
    "PathIsNotDirectoryException": NotADirectoryError,
    "AccessControlException": PermissionError,
    "SecurityException": PermissionError,
    "AuthorizationException": PermissionError,
}


class Status(NamedTuple):
    """The attributes of a file or directory.

    name: the last element of its path; empty for the requested path itself
    size: in bytes
    modified: time in seconds since the epoch
    permission: mode bits such as 0o755
    """

    name: str
    is_directory: bool
    size: int
    modified: float
    permission: int
    owner: str
    group: str


class WebHdfs:
    """A client for one HDFS. Safe to use from many threads.

    urls: the URLs of the name nodes, of which one is active, such as `http://node1:9870`
    uri: the URI of the file system for Hadoop's commands, such as `hdfs://node1:8020`; empty for their default
    user: user name for simple authentication; defaults to $HADOOP_USER_NAME or the user of the process
    auth: authentication such as `Negotiate`, instead of a user name
    transport: replaces the network in tests

    Paths are absolute and must not contain `..`. All methods raise ConnectionError if no active name node can be
    reached, FileNotFoundError, PermissionError or another OSError for an error of HDFS, and ValueError for an invalid
    path.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        uri: str = "",
        user: str | None = None,
        auth: httpx.Auth | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.urls = [_check_url(url) for url in urls]
        self.uri = uri.rstrip("/")
        self.user = user or os.environ.get("HADOOP_USER_NAME") or getpass.getuser()
        self._auth, self._transport = auth, transport
        self._open_clients()
        reset_after_fork(self)

    def _open_clients(self) -> None:
        limits = httpx.Timeout(RESPONSE_SECONDS, connect=CONNECT_SECONDS)
        trust = self._transport is None
        self._name_nodes = httpx.Client(
            auth=self._auth,
            params=None if self._auth else {"user.name": self.user},
            timeout=limits,
            transport=self._transport,
            trust_env=trust,
        )
        # Data nodes authenticate by the token in the URL that the name node returned
        self._data_nodes = httpx.Client(timeout=limits, transport=self._transport, trust_env=trust)

    def after_fork(self) -> None:
        """Replace the clients. The old ones are not closed explicitly, because that would wait for their locks."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # the sockets are closed with the objects
            self._open_clients()

    def home(self) -> str:
        """Return the path of the user's home directory."""
        return str(self._request_json("GET", "/", "GETHOMEDIRECTORY")["Path"])

    def status(self, path: str) -> Status | None:
        """Return the attributes of a file or directory; None if the path does not exist."""
        try:
            return _to_status(self._request_json("GET", path, "GETFILESTATUS")["FileStatus"])
        except FileNotFoundError:
            return None

    def list(self, path: str) -> list[Status]:
        """Return the entries of a directory, sorted by name; for a file, one entry with an empty name."""
        response = self._request_json("GET", path, "LISTSTATUS")
        return sorted(_to_status(each) for each in response["FileStatuses"]["FileStatus"])

    def read(self, path: str, most: int | None = None) -> bytes:
        """Return the content of a file.

        most: maximum size in bytes; None for any size

        Raises FileTooLarge above it, after reading no more than that.
        """
        content = bytearray()
        with closing(self.chunks(path)) as chunks:
            for chunk in chunks:
                content += chunk
                if most is not None and len(content) > most:
                    raise FileTooLarge(path, most)
        return bytes(content)

    def chunks(self, path: str) -> Generator[bytes, None, None]:
        """Yield the content of a file in chunks.

        Raises RuntimeError in the child of a fork if reading began in the parent.
        """
        location = self._locate("GET", path, "OPEN")
        client = self._data_nodes
        with self._stream_from_data_node("GET", location) as response:
            for chunk in response.iter_bytes(CHUNK):
                yield chunk
                if self._data_nodes is not client:
                    raise RuntimeError(
                        f"reading {path} began before a fork and can be continued only by the parent process"
                    )

    def write(self, path: str, content: bytes | BinaryIO, permission: int = 0o644) -> None:
        """Write a file, replacing an existing one, and create missing parent directories."""
        location = self._locate("PUT", path, "CREATE", overwrite="true", permission=f"{permission:o}")
        body = content if isinstance(content, bytes) else iter(lambda: content.read(CHUNK), b"")
        with self._stream_from_data_node("PUT", location, body):
            return

    def delete(self, path: str, *, recursive: bool = False) -> bool:
        """Delete a file or directory; return False if it did not exist."""
        return bool(self._request_json("DELETE", path, "DELETE", recursive=str(recursive).lower())["boolean"])

    def replace(self, path: str, target: str) -> None:
        """Rename a file, replacing an existing file at the target path."""
        self._request_json("PUT", path, "RENAME", destination=_check_path(target), renameoptions="OVERWRITE")

    def close(self) -> None:
        """Close all connections."""
        self._name_nodes.close()
        self._data_nodes.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # --- requests to a name node, and to the data node that it returns

    def _request_json(self, method: str, path: str, operation: str, **options: str) -> dict[str, Any]:
        response = self._request_active(method, path, operation, options)
        return _decode(response) if response.content else {}

    def _locate(self, method: str, path: str, operation: str, **options: str) -> httpx.URL:
        """Return the URL of a file at a data node.

        Raises OSError if the name node returned a URL of another scheme or of another interface.
        """
        response = self._request_active(method, path, operation, {"noredirect": "true", **options})
        given = response.headers.get("location") if response.is_redirect else _decode(response).get("Location")
        with suppress(httpx.InvalidURL):
            location = httpx.URL(str(given))
            if location.scheme == response.url.scheme and _is_data_node(location):
                return location
        raise OSError(
            f"invalid redirect {quote_value(given)} by the name node {response.url.host}: expected "
            f"the URL of a data node"
        )

    def _request_active(self, method: str, path: str, operation: str, options: Mapping[str, str]) -> httpx.Response:
        """Return the response of the active name node, which is tried first from then on."""
        problems = []
        for url in list(self.urls):
            address = f"{url}{PREFIX}{quote(_check_path(path))}"
            try:
                response = self._name_nodes.request(method, address, params={"op": operation, **options})
            except httpx.HTTPError as error:
                problems.append(f"{url}: {str(error) or type(error).__name__}")
                if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                    continue  # nothing was sent, so another name node can be tried
                break
            if response.status_code < 400:
                self._prefer(url)
                return response
            if _java_exception(response)[0] not in ("StandbyException", "RetriableException"):
                raise _to_error(response, path)
            problems.append(f"{url}: {_java_exception(response)[1]}")
        raise ConnectionError(f"can't reach HDFS: {'; '.join(problems)}")

    def _prefer(self, url: str) -> None:
        if url != self.urls[0]:
            self.urls = [url, *(other for other in self.urls if other != url)]

    @contextmanager
    def _stream_from_data_node(self, method: str, location: httpx.URL, body: Any = None) -> Iterator[httpx.Response]:
        headers = {} if body is None else {"content-type": "application/octet-stream"}
        try:
            with self._data_nodes.stream(method, location, content=body, headers=headers) as response:
                if response.status_code >= 400:
                    response.read()
                    raise _to_error(response, location.path.removeprefix(PREFIX))
                yield response
        except httpx.HTTPError as error:
            raise ConnectionError(
                f"can't reach the data node {location.host}:{location.port}: {str(error) or type(error).__name__}"
            ) from error


def _is_data_node(location: httpx.URL) -> bool:
    return bool(location.host) and not location.userinfo and location.path.startswith(PREFIX + "/")


def _to_status(entry: Mapping[str, Any]) -> Status:
    return Status(
        str(entry["pathSuffix"]),
        entry["type"] == "DIRECTORY",
        int(entry["length"]),
        int(entry["modificationTime"]) / 1000,
        int(str(entry["permission"]), 8),
        str(entry["owner"]),
        str(entry["group"]),
    )


def _decode(response: httpx.Response) -> dict[str, Any]:
    try:
        value = response.json()
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ConnectionError(
            f"invalid response of {response.url.host}:{response.url.port}: expected a JSON object, as WebHDFS sends"
        )
    return value


def _java_exception(response: httpx.Response) -> tuple[str, str]:
    """Return the name and the first line of the message of a Java exception, or an empty name and the reason phrase."""
    try:
        error = response.json()["RemoteException"]
        return str(error["exception"]), str(error["message"]).split("\n")[0].strip()
    except (ValueError, KeyError, TypeError):
        return "", response.reason_phrase or str(response.status_code)


def _to_error(response: httpx.Response, path: str) -> OSError:
    name, message = _java_exception(response)
    if not name and response.status_code in (401, 403):
        return PermissionError(
            f"HDFS rejected the credentials: {message}; if it requires Kerberos, pass a principal or run kinit"
        )
    return _ERRORS.get(name, OSError)(f"HDFS rejected {path}: {message}")


def _check_url(url: str) -> str:
    with suppress(httpx.InvalidURL):
        parts = httpx.URL(url)
        if parts.scheme in ("http", "https") and parts.host and not parts.query and not parts.userinfo:
            return url.rstrip("/")
    raise ValueError(f"invalid name node {quote_value(url)}: expected a URL such as http://node1:{NAME_NODE_PORT}")


def _check_path(path: str) -> str:
    if not path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise ValueError(f"invalid path {quote_value(path)}: expected an absolute path such as /user/me/models")
    return str(PurePosixPath(path))


# --- the file system in Hadoop's configuration


def read_default_uri() -> str | None:
    """Return the URI of the default file system in $HADOOP_CONF_DIR; None if it is not configured, or not HDFS."""
    uri = read_configuration("core").get("fs.defaultFS", "")
    return uri if urlsplit(uri).scheme == "hdfs" else None


def open_hdfs(uri: str | None = None, *, user: str | None = None, auth: httpx.Auth | None = None) -> WebHdfs:
    """Return a client for a URI such as `hdfs://node1:8020`, `webhdfs://node1:9870` or `swebhdfs://node1:9871`.

    uri: None for Hadoop's default file system, from core-site.xml in $HADOOP_CONF_DIR
    user, auth: as for `WebHdfs`

    For `hdfs://` the URLs of the name nodes come from hdfs-site.xml; the default ports are assumed without an entry
    there. Raises ValueError for an invalid URI, or if no default is configured.
    """
    target = uri or read_default_uri()
    if target is None:
        raise ValueError(
            "no HDFS configured; pass a URI such as hdfs://node1:8020, "
            f"or set ${VARIABLE} to a folder with core-site.xml"
        )
    scheme, authority, *_ = urlsplit(target)
    if scheme not in SCHEMES or not authority:
        raise ValueError(
            f"invalid URI {quote_value(target)}: expected one such as hdfs://node1:8020 or webhdfs://node1:{NAME_NODE_PORT}"
        )
    if scheme == "hdfs":
        return WebHdfs(_find_name_nodes(authority), uri=f"hdfs://{authority}", user=user, auth=auth)
    return WebHdfs([f"{'https' if scheme == 'swebhdfs' else 'http'}://{authority}"], user=user, auth=auth)


def _find_name_nodes(authority: str) -> list[str]:
    """Return the URLs of the name nodes of a host and port, or of the name of an HDFS with several name nodes."""
    site = read_configuration("hdfs")
    secure = site.get("dfs.http.policy") == "HTTPS_ONLY"
    key, scheme = ("dfs.namenode.https-address", "https") if secure else ("dfs.namenode.http-address", "http")
    if members := site.get(f"dfs.ha.namenodes.{authority}"):
        addresses = [site.get(f"{key}.{authority}.{member.strip()}") for member in members.split(",")]
        return [f"{scheme}://{address}" for address in addresses if address]
    host = authority.rpartition(":")[0] or authority
    is_default = urlsplit(read_configuration("core").get("fs.defaultFS", "")).netloc == authority
    port = SECURE_NAME_NODE_PORT if secure else NAME_NODE_PORT
    address = (site.get(key) if is_default else None) or f"{host}:{port}"
    return [f"{scheme}://{address.replace('0.0.0.0', host)}"]
