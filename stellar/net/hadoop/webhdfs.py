"""Files in HDFS, by its REST interface (WebHDFS)."""

from __future__ import annotations

import getpass
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self
from urllib.parse import quote, urlsplit

import httpx

from stellar.net.hadoop.site import VARIABLE, configured
from stellar.util.forks import reset_after_fork

CONNECT_SECONDS, ANSWER_SECONDS = 3.0, 60.0
PREFIX = "/webhdfs/v1"
NAME_NODE_PORT, SECURE_NAME_NODE_PORT = 9870, 9871
CHUNK = 1 << 20
SCHEMES = ("hdfs", "webhdfs", "swebhdfs")

# Java's exceptions, as Python's
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
    """What HDFS tells of a file or directory.

    name: its last element; empty for the one that was asked for
    size: bytes
    modified: seconds since the epoch
    permission: such as 0o755
    """

    name: str
    is_directory: bool
    size: int
    modified: float
    permission: int
    owner: str
    group: str


class WebHdfs:
    """The files of an HDFS. Safe to use from many threads.

    urls: the addresses of the name nodes, of which one is active, such as `http://node1:9870`
    uri: how Hadoop's own programs name it, such as `hdfs://node1:8020`; empty for whatever is their default
    user: who we are, where HDFS believes what one says
    auth: how we show who we are, where it does not

    Paths are absolute; `..` is refused. Everything raises ConnectionError if no name node answers, FileNotFoundError,
    PermissionError and the like for what HDFS refuses, ValueError for paths that can't be.
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
        self.urls = [_checked(url) for url in urls]
        self.uri = uri.rstrip("/")
        self.user = user or os.environ.get("HADOOP_USER_NAME") or getpass.getuser()
        self._auth, self._transport = auth, transport
        self._open_clients()
        reset_after_fork(self)

    def _open_clients(self) -> None:
        limits = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        trust = self._transport is None
        self._name_nodes = httpx.Client(
            auth=self._auth,
            params=None if self._auth else {"user.name": self.user},
            timeout=limits,
            transport=self._transport,
            trust_env=trust,
        )
        # A data node knows us by what the name node has put into its address
        self._data_nodes = httpx.Client(timeout=limits, transport=self._transport, trust_env=trust)

    def after_fork(self) -> None:
        """Replace the clients. The old ones are not closed by their own means, for that waits for their locks."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # the sockets end with the objects
            self._open_clients()

    def home(self) -> str:
        """Our home directory there."""
        return str(self._asked("GET", "/", "GETHOMEDIRECTORY")["Path"])

    def status(self, path: str) -> Status | None:
        """What is at a path; None if nothing is."""
        try:
            return _status(self._asked("GET", path, "GETFILESTATUS")["FileStatus"])
        except FileNotFoundError:
            return None

    def list(self, path: str) -> list[Status]:
        """What is in a directory, by name; of a file, the file itself, without a name."""
        answer = self._asked("GET", path, "LISTSTATUS")
        return sorted(_status(each) for each in answer["FileStatuses"]["FileStatus"])

    def read(self, path: str) -> bytes:
        """The whole content of a file."""
        return b"".join(self.chunks(path))

    def chunks(self, path: str) -> Iterator[bytes]:
        """The content of a file, piece by piece."""
        location = self._located("GET", path, "OPEN")
        client = self._data_nodes
        with self._from_data_node("GET", location) as answer:
            for chunk in answer.iter_bytes(CHUNK):
                yield chunk
                if self._data_nodes is not client:
                    raise RuntimeError(f"the reading of {path} was begun before a fork and goes on in the parent only")

    def write(self, path: str, content: bytes | BinaryIO, permission: int = 0o644) -> None:
        """Write a file, in place of one that is there. Directories are made where they are missing."""
        location = self._located("PUT", path, "CREATE", overwrite="true", permission=f"{permission:o}")
        body = content if isinstance(content, bytes) else iter(lambda: content.read(CHUNK), b"")
        with self._from_data_node("PUT", location, body):
            return

    def make_directories(self, path: str, permission: int = 0o755) -> None:
        """Make a directory, with those above it."""
        if not self._asked("PUT", path, "MKDIRS", permission=f"{permission:o}")["boolean"]:
            raise FileExistsError(f"{path} in HDFS is a file")

    def set_owner(self, path: str, owner: str) -> None:
        """Give a file or directory to somebody, which only administrators may."""
        self._asked("PUT", path, "SETOWNER", owner=owner)

    def delete(self, path: str, *, recursive: bool = False) -> bool:
        """Take away a file or directory; whether it was there."""
        return bool(self._asked("DELETE", path, "DELETE", recursive=str(recursive).lower())["boolean"])

    def replace(self, path: str, target: str) -> None:
        """Give a file another path, in place of a file that is there."""
        self._asked("PUT", path, "RENAME", destination=_checked_path(target), renameoptions="OVERWRITE")

    def close(self) -> None:
        self._name_nodes.close()
        self._data_nodes.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # --- the two steps of each request: a name node, then perhaps a data node

    def _asked(self, method: str, path: str, operation: str, **options: str) -> dict[str, Any]:
        answer = self._of_the_active(method, path, operation, options)
        return _json(answer) if answer.content else {}

    def _located(self, method: str, path: str, operation: str, **options: str) -> httpx.URL:
        """The address at a data node. It must be of the kind that we were told of, and of this interface."""
        answer = self._of_the_active(method, path, operation, {"noredirect": "true", **options})
        said = answer.headers.get("location") if answer.is_redirect else _json(answer).get("Location")
        with suppress(httpx.InvalidURL):
            location = httpx.URL(str(said))
            if (
                location.scheme == answer.url.scheme
                and location.host
                and not location.userinfo
                and location.path.startswith(PREFIX + "/")
            ):
                return location
        raise OSError(f"the name node {answer.url.host} sends us to {said!r}, which is no data node's address")

    def _of_the_active(self, method: str, path: str, operation: str, options: Mapping[str, str]) -> httpx.Response:
        troubles = []
        for url in list(self.urls):
            address = f"{url}{PREFIX}{quote(_checked_path(path))}"
            try:
                answer = self._name_nodes.request(method, address, params={"op": operation, **options})
            except httpx.HTTPError as error:
                troubles.append(f"{url}: {str(error) or type(error).__name__}")
                if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                    continue  # nothing was asked yet, so another may be
                break
            if answer.status_code < 400:
                if url != self.urls[0]:  # the active one first, from now on
                    self.urls = [url, *(other for other in self.urls if other != url)]
                return answer
            if _exception(answer)[0] not in ("StandbyException", "RetriableException"):
                raise _refusal(answer, path)
            troubles.append(f"{url}: {_exception(answer)[1]}")
        raise ConnectionError(f"HDFS can't be reached: {'; '.join(troubles)}")

    @contextmanager
    def _from_data_node(self, method: str, location: httpx.URL, body: Any = None) -> Iterator[httpx.Response]:
        headers = {} if body is None else {"content-type": "application/octet-stream"}
        try:
            with self._data_nodes.stream(method, location, content=body, headers=headers) as answer:
                if answer.status_code >= 400:
                    answer.read()
                    raise _refusal(answer, location.path.removeprefix(PREFIX))
                yield answer
        except httpx.HTTPError as error:
            raise ConnectionError(
                f"the data node {location.host}:{location.port} can't be reached: {str(error) or type(error).__name__}"
            ) from error


def _status(said: Mapping[str, Any]) -> Status:
    return Status(
        str(said["pathSuffix"]),
        said["type"] == "DIRECTORY",
        int(said["length"]),
        int(said["modificationTime"]) / 1000,
        int(str(said["permission"]), 8),
        str(said["owner"]),
        str(said["group"]),
    )


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise ConnectionError(f"{answer.url.host}:{answer.url.port} answers, but not as HDFS does")
    return said


def _exception(answer: httpx.Response) -> tuple[str, str]:
    """The name and the first line of what Java says."""
    try:
        said = answer.json()["RemoteException"]
        return str(said["exception"]), str(said["message"]).split("\n")[0].strip()
    except (ValueError, KeyError, TypeError):
        return "", answer.reason_phrase or str(answer.status_code)


def _refusal(answer: httpx.Response, path: str) -> OSError:
    name, message = _exception(answer)
    if not name and answer.status_code in (401, 403):
        return PermissionError(f"HDFS does not let us: {message}; where it asks for Kerberos, say who we are")
    return _ERRORS.get(name, OSError)(f"HDFS refuses {path}: {message}")


def _checked(url: str) -> str:
    with suppress(httpx.InvalidURL):
        parts = httpx.URL(url)
        if parts.scheme in ("http", "https") and parts.host and not parts.query and not parts.userinfo:
            return url.rstrip("/")
    raise ValueError(f"{url!r} is not an address of HDFS such as http://node1:{NAME_NODE_PORT}")


def _checked_path(path: str) -> str:
    if not path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise ValueError(f"{path!r} is not an absolute path such as /user/me/models")
    return str(PurePosixPath(path))


# --- where it is, as Hadoop's own programs know it


def default_uri() -> str | None:
    """Hadoop's default file system, if $HADOOP_CONF_DIR says one and it is HDFS."""
    said = configured("core").get("fs.defaultFS", "")
    return said if urlsplit(said).scheme == "hdfs" else None


def connected(uri: str | None = None, *, user: str | None = None, auth: httpx.Auth | None = None) -> WebHdfs:
    """The HDFS of a URI such as `hdfs://node1:8020`, `webhdfs://node1:9870` or `swebhdfs://node1:9871`.

    uri: None for Hadoop's default file system, as $HADOOP_CONF_DIR says it

    Where a name node of `hdfs://` has its REST interface is in hdfs-site.xml; without that, it is taken to be at the
    usual port. Raises ValueError for a URI that can't be meant, or if none is given and none configured.
    """
    place = uri or default_uri()
    if place is None:
        raise ValueError(f"where is HDFS? ${VARIABLE} has no core-site.xml that says; name it: hdfs://node1:8020")
    scheme, authority, *_ = urlsplit(place)
    if scheme not in SCHEMES or not authority:
        raise ValueError(f"{place!r} is not an address such as hdfs://node1:8020 or webhdfs://node1:{NAME_NODE_PORT}")
    if scheme == "hdfs":
        return WebHdfs(_name_nodes(authority), uri=f"hdfs://{authority}", user=user, auth=auth)
    return WebHdfs([f"{'https' if scheme == 'swebhdfs' else 'http'}://{authority}"], user=user, auth=auth)


def _name_nodes(authority: str) -> list[str]:
    site = configured("hdfs")
    secure = site.get("dfs.http.policy") == "HTTPS_ONLY"
    key, scheme = ("dfs.namenode.https-address", "https") if secure else ("dfs.namenode.http-address", "http")
    if members := site.get(f"dfs.ha.namenodes.{authority}"):
        addresses = [site.get(f"{key}.{authority}.{member.strip()}") for member in members.split(",")]
        return [f"{scheme}://{address}" for address in addresses if address]
    host = authority.rpartition(":")[0] or authority
    there = urlsplit(configured("core").get("fs.defaultFS", "")).netloc == authority
    port = SECURE_NAME_NODE_PORT if secure else NAME_NODE_PORT
    address = (site.get(key) if there else None) or f"{host}:{port}"
    return [f"{scheme}://{address.replace('0.0.0.0', host)}"]
