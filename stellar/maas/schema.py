"""The JSON that deployers, runners and clients exchange, byte for byte as Metron writes it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, is_dataclass
from typing import Any, Literal, NamedTuple, NoReturn, Self
from urllib.parse import urlsplit

from stellar.util.json_objects import fields_of, read_object

PAYLOAD_CLASS = "org.apache.metron.maas.config.ModelEndpoint"
CONFIG_PATH = "/metron/maas/config"
EXT_PATH = "/maas/ext"  # what is ours alone, where Metron's programs do not look
DEFAULT_FUNCTIONS = {"apply": "apply"}
LONGEST_NAME = 200  # a name becomes a file or a znode

# Those names that are not simply the camel case of ours
_WIRE_NAMES = {"class_": "@class", "registration_time_utc": "registrationTimeUTC", "zk_path": "zk_path"}


class Model(NamedTuple):
    """A version of a model; both are plain texts, compared as they stand."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} @ {self.version}"


def read_json(data: bytes | str) -> Any:
    """The value of a JSON text in UTF-8.

    Raises ValueError for anything else, also for NaN, Infinity and nesting beyond reason.
    """
    return _loads(data, _STRICT)


def _loads(data: bytes | str, decoder: json.JSONDecoder) -> Any:
    text = data if isinstance(data, str) else data.decode("utf-8")
    try:
        return decoder.decode(text)
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
    """Fields in the order of the wire. Unknown ones are ignored when read, and so never passed on."""

    def to_json(self) -> bytes:
        """Compact JSON, UTF-8, no newline."""
        return json.dumps(_as_object(self), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read it, generously.

        Raises ValueError with one sentence for what is not such a JSON object.
        """
        value = _loads(data, _WITH_NUMBERS_AS_WRITTEN)  # so version 1.10 does not become 1.1
        if not isinstance(value, dict):
            raise ValueError(f"a JSON object is needed here, not {json.dumps(value)[:80]}")
        return read_object(cls, value, _wire_name, numbers_are_texts=True, strangers=True)


def _as_object(value: Any) -> Any:
    if not is_dataclass(value):
        return value
    return {f.wire: _as_object(getattr(value, f.name)) for f in fields_of(type(value), _wire_name)}  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class MaaSConfig(_Wire):
    """Where the queue and the registrations are; each field may be left out."""

    queue: Literal["ZOOKEEPER"] = "ZOOKEEPER"
    queue_config: dict[str, Any] = field(default_factory=lambda: {"zk_path": "/maas/queue"})
    service_root: str = "/maas/service"

    def __post_init__(self) -> None:
        if "zk_path" not in self.queue_config:
            raise ValueError("You must specify zk_path for a zk queue")
        for path in (self.queue_path, self.service_root):
            if not path.startswith("/") or {"", ".", ".."} & set(path[1:].split("/")):
                raise ValueError(f"{path!r} is not an absolute path such as /maas/queue")

    @property
    def queue_path(self) -> str:
        return str(self.queue_config["zk_path"])

    @property
    def ext_root(self) -> str:
        """Where our own notes stand: beside the registrations."""
        return EXT_PATH if self.service_root == "/maas/service" else f"{self.service_root}-ext"


Action = Literal["ADD", "REMOVE"]


@dataclass(frozen=True, kw_only=True)
class ModelRequest(_Wire):
    """A wish on the queue: so many more instances of a model, or so many less.

    memory: MB for each instance; 0 when it does not matter
    path: where the model's files are in the model store
    """

    name: str | None = None
    version: str | None = None
    num_instances: int = 0
    memory: int = 0
    action: Action | None = None
    path: str | None = None


@dataclass(frozen=True, kw_only=True)
class Endpoint(_Wire):
    """Where an instance listens, and the path of each function; the content of `endpoint.dat`."""

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

    @property
    def model(self) -> Model:
        return Model(self.name, self.version)

    @property
    def url(self) -> str:
        return self.endpoint.url

    def as_map(self) -> dict[str, Any]:
        """As MAAS_GET_ENDPOINT gives it: name, version, url, and `endpoint:<function>` for each function."""
        functions = {f"endpoint:{function}": path for function, path in self.endpoint.functions.items()}
        return {"name": self.name, "version": self.version, "url": self.url, **functions}


@dataclass(frozen=True, kw_only=True)
class ServiceInstance(_Wire):
    """A registration: one instance of a model, and where it can be called."""

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
        """The registration of an instance that was just found ready.

        lasting: whether it stays when whoever registered it is gone, as Metron's own registrations do
        now: seconds since the epoch, if not this moment
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


def checked_name(text: str, what: str) -> str:
    """The text, if it can stand for a model, a version or an instance: it becomes one element of a path.

    Raises ValueError, naming `what`, if it is empty, `.` or `..`, holds `/` or a control character, or is too long.
    """
    if not text.strip():
        raise ValueError(f"the {what} is empty")
    if text in (".", "..") or "/" in text or not text.isprintable():
        raise ValueError(f"the {what} {text!r} can't be . or .. nor hold / or control characters")
    if len(text.encode()) > LONGEST_NAME:
        raise ValueError(f"the {what} is longer than {LONGEST_NAME} bytes")
    return text
