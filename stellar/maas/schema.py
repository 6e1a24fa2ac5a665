"""The JSON documents that deployers, runners and clients exchange, byte for byte as Metron writes them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, is_dataclass
from typing import Any, Literal, NamedTuple, NoReturn, Self
from urllib.parse import urlsplit

from stellar.util.abbreviate import quote
from stellar.util.json_objects import fields_of, read_object

PAYLOAD_CLASS = "org.apache.metron.maas.config.ModelEndpoint"
CONFIG_PATH = "/metron/maas/config"
EXT_PATH = "/maas/ext"  # nodes that Metron's programs do not read
DEFAULT_FUNCTIONS = {"apply": "apply"}
LONGEST_NAME = 200  # a name becomes a file or a znode

# Names that are not the camel case of the field name
_WIRE_NAMES = {"class_": "@class", "registration_time_utc": "registrationTimeUTC", "zk_path": "zk_path"}


class Model(NamedTuple):
    """A version of a model: two strings, compared exactly."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} @ {self.version}"


def read_json(data: bytes | str) -> Any:
    """Parse a JSON document in UTF-8.

    Raises ValueError for invalid JSON, for NaN and Infinity, and for nesting that is too deep.
    """
    return _loads(data, _STRICT)


def _loads(data: bytes | str, decoder: json.JSONDecoder) -> Any:
    document = data if isinstance(data, str) else data.decode("utf-8")
    try:
        if document[:1] == "{":  # the common case: an object without whitespace around it
            value, end = decoder.raw_decode(document)
            if end == len(document):
                return value
        return decoder.decode(document)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_STRICT = json.JSONDecoder(parse_constant=_no_constant)
_WITH_NUMBERS_AS_WRITTEN = json.JSONDecoder(parse_float=str, parse_constant=_no_constant)


def _wire_name(name: str) -> str:
    first, *others = name.split("_")
    return _WIRE_NAMES.get(name) or first + "".join(map(str.capitalize, others))


class _Wire:
    """A JSON object with its fields in Metron's order. Unknown fields are dropped when it is read."""

    def to_json(self) -> bytes:
        """Return compact JSON in UTF-8, without a newline."""
        return json.dumps(_as_object(self), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Parse JSON leniently: unknown fields are ignored, and numbers are accepted as strings.

        Raises ValueError for anything but such a JSON object.
        """
        value = _loads(data, _WITH_NUMBERS_AS_WRITTEN)  # so version 1.10 does not become 1.1
        if not isinstance(value, dict):
            raise ValueError(f"expected a JSON object, got {json.dumps(value)[:80]}")
        return read_object(cls, value, _wire_name, allow_numbers_as_strings=True, ignore_unknown=True)


def _as_object(value: Any) -> Any:
    if not is_dataclass(value):
        return value
    return {f.json_name: _as_object(getattr(value, f.name)) for f in fields_of(type(value), _wire_name)}  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class MaaSConfig(_Wire):
    """Metron's configuration node: the paths of the queue and of the registrations; each field is optional."""

    queue: Literal["ZOOKEEPER"] = "ZOOKEEPER"
    queue_config: dict[str, Any] = field(default_factory=lambda: {"zk_path": "/maas/queue"})
    service_root: str = "/maas/service"

    def __post_init__(self) -> None:
        if "zk_path" not in self.queue_config:
            raise ValueError("You must specify zk_path for a zk queue")
        for path in (self.queue_path, self.service_root):
            if not path.startswith("/") or {"", ".", ".."} & set(path[1:].split("/")):
                raise ValueError(f"invalid path {quote(path)}: expected an absolute path such as /maas/queue")

    @property
    def queue_path(self) -> str:
        return str(self.queue_config["zk_path"])

    @property
    def ext_root(self) -> str:
        """The root of our own nodes, next to the registrations."""
        return EXT_PATH if self.service_root == "/maas/service" else f"{self.service_root}-ext"


Action = Literal["ADD", "REMOVE"]


@dataclass(frozen=True, kw_only=True)
class ModelRequest(_Wire):
    """A request on the queue: start or stop a number of instances of a model.

    memory: MB for each instance; 0 for no limit
    path: of the model's files in the model store
    """

    name: str | None = None
    version: str | None = None
    num_instances: int = 0
    memory: int = 0
    action: Action | None = None
    path: str | None = None


@dataclass(frozen=True, kw_only=True)
class Endpoint(_Wire):
    """The URL of an instance, and the path of each function; the content of `endpoint.dat`."""

    url: str
    functions: dict[str, str] = field(default_factory=lambda: dict(DEFAULT_FUNCTIONS))


@dataclass(frozen=True, kw_only=True)
class ModelEndpoint(_Wire):
    """An endpoint, with the model and the instance that it belongs to."""

    class_: str = PAYLOAD_CLASS  # Metron's reader needs it, first
    endpoint: Endpoint
    name: str
    version: str
    container_id: str

    def __post_init__(self) -> None:
        functions = {f"endpoint:{function}": path for function, path in self.endpoint.functions.items()}
        # Made once, as each call of a model needs it; the class is frozen, and this is not one of its fields
        object.__setattr__(self, "_map", {"name": self.name, "version": self.version, "url": self.url, **functions})

    @property
    def model(self) -> Model:
        return Model(self.name, self.version)

    @property
    def url(self) -> str:
        return self.endpoint.url

    def as_map(self) -> dict[str, Any]:
        """Return the value of MAAS_GET_ENDPOINT: name, version, url, and `endpoint:<function>` for each function."""
        return dict(self.__dict__["_map"])


@dataclass(frozen=True, kw_only=True)
class ServiceInstance(_Wire):
    """A registration: one instance of a model and its endpoint."""

    name: str
    id: str
    address: str | None = None
    port: int | None = None
    ssl_port: int | None = None
    payload: ModelEndpoint
    registration_time_utc: int = 0
    service_type: str = "STATIC"
    uri_spec: Any = None

    @classmethod
    def of(
        cls, model: Model, id: str, endpoint: Endpoint, *, lasting: bool = False, now: float | None = None
    ) -> ServiceInstance:
        """Return the registration of an instance that is ready.

        lasting: True if it outlives the process that registers it, as Metron's own registrations do
        now: time of registration, in seconds since the epoch; defaults to the current time
        """
        url = urlsplit(endpoint.url)
        return cls(
            name=model.name,
            id=id,
            address=url.hostname,
            port=url.port or -1,
            payload=ModelEndpoint(endpoint=endpoint, name=model.name, version=model.version, container_id=id),
            registration_time_utc=int((time.time() if now is None else now) * 1000),
            service_type="STATIC" if lasting else "DYNAMIC",
        )

    @property
    def model(self) -> Model:
        return self.payload.model

    @property
    def url(self) -> str:
        return self.payload.url

    @property
    def lasting(self) -> bool:
        return self.service_type != "DYNAMIC"


def validate_name(name: str, subject: str) -> str:
    """Return a name of a model, a version or an instance if it is valid: it becomes one element of a path.

    subject: the noun for the error message

    Raises ValueError if it is empty or whitespace, `.` or `..`, contains `/` or a control character, or is too long.
    """
    if not name.strip():
        raise ValueError(f"the {subject} is empty")
    if name in (".", "..") or "/" in name or not name.isprintable():
        raise ValueError(
            f"the {subject} {quote(name)} is invalid: must not be . or .., nor contain / or control characters"
        )
    if len(name.encode()) > LONGEST_NAME:
        raise ValueError(f"the {subject} is longer than {LONGEST_NAME} bytes")
    return name
