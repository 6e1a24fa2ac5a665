"""The settings of a model client: each declared once, with its key in Metron's global configuration and its check."""

from __future__ import annotations

import difflib
import logging
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn

from stellar.maas.schema import CONFIG_PATH
from stellar.maas.transport.base import Timeouts, TlsSettings
from stellar.net.allowed_hosts import AllowedHosts

log = logging.getLogger(__name__)

CHOICES = ("uniform", "least-busy")
VERSION_COMPARISONS = ("natural", "lexical")

DAY_MS = 86_400_000
PREFIX = "maas."
OTHER_KEYS = ("maas.error.field",)  # of the pipeline

# Accepted under its old name, with a warning
SUPERSEDED = {"maas.quarantine.failures": "maas.breaker.failures"}

Check = Callable[[Any], Any]


def _refuse(expected: str) -> NoReturn:
    raise ValueError(f"expected {expected}")


def _number(low: float, high: float) -> Check:
    expected = f"a number from {low:,} to {high:,}"

    def check(value: Any) -> float:
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        return number if low <= number <= high else _refuse(expected)

    return check


def _integer(low: int, high: int) -> Check:
    number = _number(low, high)
    expected = f"an integer from {low:,} to {high:,}"

    def check(value: Any) -> int:
        try:
            found = number(value)
        except ValueError:
            found = math.nan
        return int(found) if found == found // 1 else _refuse(expected)

    return check


def _one_of(*values: str) -> Check:
    return lambda value: value if value in values else _refuse(" or ".join(values))


def _znode(value: Any) -> str:
    return value if isinstance(value, str) and value.startswith("/") else _refuse(f"a path such as {CONFIG_PATH}")


def _path(value: Any) -> str:
    return value if isinstance(value, str) else _refuse("a path")


def _readable(value: Any) -> str:
    if not isinstance(value, str) or not os.path.isfile(value) or not os.access(value, os.R_OK):
        _refuse("a file that can be read")
    return value


def _boolean(value: Any) -> bool:
    return value if isinstance(value, bool) else _refuse("true or false")


def _strings(value: Any) -> tuple[str, ...]:
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return tuple(value)
    _refuse("a list of strings")


def _hosts(value: Any) -> tuple[str, ...]:
    hosts = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(hosts, list | tuple) or not hosts or not all(isinstance(host, str) for host in hosts):
        _refuse("a list of hosts")
    AllowedHosts.of(hosts)
    return tuple(hosts)


def setting(key: str, default: Any, check: Check, help: str) -> Any:
    """Declare a field of ClientSettings.

    key: its name in the global configuration
    check: returns the value to use; raises ValueError with what is expected
    help: one sentence, for the documentation
    """
    return field(default=default, metadata={"key": key, "check": check, "help": help})


@dataclass(frozen=True)
class ClientSettings:
    """Settings of a model client. Raises ValueError, naming the key, for an invalid value."""

    cache_size: int = setting("maas.cache.maxSize", 100_000, _integer(0, 100_000_000), "Answers kept; 0 keeps none.")
    cache_minutes: float = setting(
        "maas.cache.maxTimeRetain", 10.0, _number(0, 525_600), "Minutes that an answer is kept; 0 keeps none."
    )
    retries: int = setting(
        "maas.http.retries",
        1,
        _integer(0, 1000),
        "Other instances to call when one fails. Refused connections cost none.",
    )
    connect_timeout_ms: float = setting(
        "maas.http.connect.timeout.ms", 1000.0, _number(1, DAY_MS), "For a connection, name resolution included."
    )
    timeout_ms: float = setting("maas.http.timeout.ms", 5000.0, _number(1, DAY_MS), "For the whole response.")
    response_bytes: int = setting(
        "maas.http.max.response.bytes", 1 << 20, _integer(0, 1 << 40), "The largest response."
    )
    version_order: str = setting(
        "maas.version.comparison",
        "natural",
        _one_of(*VERSION_COMPARISONS),
        "`natural`: 10.0 comes after 9.0, and 1.0 after 1.0-rc1. `lexical`: as strings, which is what Metron does; set "
        "it where Metron's own functions call the same models, or the two choose different versions.",
    )
    config_path: str = setting(
        "maas.zk.config.path", CONFIG_PATH, _znode, "Where in the registry the configuration is."
    )
    deadline_ms: float = setting(
        "maas.http.deadline.ms",
        0.0,
        _number(0, DAY_MS),
        "For a call with everything that belongs to it: name resolution, waiting for a slot, retries and hedges; 0 for "
        "no limit besides the others.",
    )
    max_in_flight: int = setting(
        "maas.http.max.in.flight",
        128,
        _integer(0, 1_000_000),
        "Concurrent requests to one instance; more wait for a slot; 0 for no limit.",
    )
    choice: str = setting(
        "maas.choice",
        "uniform",
        _one_of(*CHOICES),
        "Which instance is called. `uniform`: any. `least-busy`: the better of two, by latency and requests in flight.",
    )
    breaker_failures: int = setting(
        "maas.breaker.failures",
        3,
        _integer(1, 1000),
        "Failures in a row, within 10 seconds, that open the circuit of an instance.",
    )
    hedge_ms: float | None = setting(
        "maas.http.hedge.ms",
        None,
        _number(0, DAY_MS),
        "When the first instance has not answered by then, a second one is called too, and the first answer wins; 0 "
        "for never. By default the 95th percentile of the model's recent latencies, at least 10.",
    )
    batch_size: int = setting(
        "maas.batch.size",
        64,
        _integer(1, 1_000_000),
        "Calls merged into one request, where a model has a function `batch`; 1 for none.",
    )
    batch_wait_ms: float = setting(
        "maas.batch.wait.ms", 2.0, _number(0, 60_000), "How long the first of them waits for others."
    )
    shadow_file: str = setting(
        "maas.shadow.file", "", _path, "A file for a shadow's answers that differ; none by default."
    )
    shadow_keys: tuple[str, ...] = setting(
        "maas.shadow.keys", (), _strings, "The members of the answers that are compared; all by default."
    )
    shadow_in_flight: int = setting("maas.shadow.in.flight", 8, _integer(1, 10_000), "Concurrent calls of shadows.")
    hosts_allowed: tuple[str, ...] = setting(
        "maas.hosts.allowed",
        (),
        _hosts,
        "Hosts that may be called: a list of `host`, `host:8080`, `*.suffix`, networks such as `10.0.0.0/8`, or `*`; "
        "all by default. See [Allowed hosts](secure.md#allowed-hosts).",
    )
    tls_ca: str | None = setting(
        "maas.tls.ca", None, _readable, "A file with the authorities to trust by https, if not those of the system."
    )
    tls_certificate: str | None = setting(
        "maas.tls.certificate", None, _readable, "A file with our own certificate, for models that ask for one."
    )
    tls_key: str | None = setting("maas.tls.key", None, _readable, "A file with its key.")
    http_auth: str | None = setting(
        "maas.http.auth",
        None,
        _readable,
        "A file that says who we are, in one line: `Bearer TOKEN` or `Basic USER:PASSWORD`.",
    )
    http_auth_plain: bool = setting(
        "maas.http.auth.plain", False, _boolean, "Whether that is sent by http too, where others can read along."
    )
    cache_bytes: int = setting(
        "maas.cache.maxBytes", 64_000_000, _integer(0, 1 << 40), "Bytes of memory for the answers kept; 0 keeps none."
    )
    wait_ms: float = setting(
        "maas.wait.ms",
        5000.0,
        _number(0, DAY_MS),
        "How long calls wait, once per outage, for a model of which no instance can be reached; 0 for not at all, as "
        "Metron does.",
    )

    def __post_init__(self) -> None:
        for each in fields(self):
            if (value := getattr(self, each.name)) != each.default:
                object.__setattr__(self, each.name, _checked(each.metadata["key"], value, each.metadata["check"]))
        if self.http_auth is not None and not self.hosts_allowed:
            raise ValueError("maas.http.auth needs maas.hosts.allowed, or the secret is sent to any registered address")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("maas.tls.certificate and maas.tls.key go together")

    @property
    def timeouts(self) -> Timeouts:
        return Timeouts(self.connect_timeout_ms / 1000, self.timeout_ms / 1000, self.response_bytes)

    @property
    def tls(self) -> TlsSettings:
        return TlsSettings(self.tls_ca, self.tls_certificate, self.tls_key, self.http_auth, self.http_auth_plain)

    @classmethod
    def from_global(cls, configuration: Mapping[str, Any]) -> ClientSettings:
        """Return the settings that a global configuration holds.

        Raises ValueError, naming the key, for a value that can't be used and for a key that resembles one of ours.
        """
        names = {each.metadata["key"]: each.name for each in fields(cls)}
        given: dict[str, Any] = {}
        for key, value in configuration.items():
            if key in SUPERSEDED:
                successor = SUPERSEDED[key]
                log.warning("%s is superseded by %s, which has precedence", key, successor)
                _checked(key, value, cls.__dataclass_fields__[names[successor]].metadata["check"])
                given.setdefault(names[successor], value)
            elif key in names:
                given[names[key]] = _checked(key, value, cls.__dataclass_fields__[names[key]].metadata["check"])
            elif isinstance(key, str) and key.lower().startswith(PREFIX) and key not in OTHER_KEYS:
                _check_unknown(key, value, (*names, *OTHER_KEYS))
        return cls(**given)


def _checked(key: str, value: Any, check: Check) -> Any:
    try:
        return check(value)
    except ValueError as error:
        raise ValueError(f"invalid {key}: {error}, got {value!r}") from None


def _check_unknown(key: str, value: Any, known: tuple[str, ...]) -> None:
    by_lowercase = {each.lower(): each for each in known}
    if close := difflib.get_close_matches(key.lower(), by_lowercase, n=1, cutoff=0.7):
        raise ValueError(f"unknown key {key} (with the value {value!r}): did you mean {by_lowercase[close[0]]}?")
    log.warning("unknown key %s is ignored; known are %s", key, ", ".join(sorted(known)))
