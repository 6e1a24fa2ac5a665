"""Settings of a model client: each is declared once, with its key in the global configuration and its check."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from stellar.maas.schema import CONFIG_PATH
from stellar.maas.transport.base import Timeouts, TlsSettings
from stellar.net.allowed_hosts import AllowedHosts
from stellar.util.abbreviate import quote
from stellar.util.settings import (
    DAY_MS,
    boolean,
    check_fields,
    check_value,
    integer,
    number,
    one_of,
    readable_file,
    reject,
    setting,
    strings,
)

log = logging.getLogger(__name__)

CHOICES = ("uniform", "least-busy")
LOCAL_KINDS = ("pmml", "xgboost", "lightgbm")
VERSION_COMPARISONS = ("natural", "lexical")

PREFIX = "maas."
OTHER_KEYS = ("maas.error.field",)  # of the pipeline

# old key → new key; accepted with a warning
SUPERSEDED = {"maas.quarantine.failures": "maas.breaker.failures"}


def _znode(value: Any) -> str:
    return value if isinstance(value, str) and value.startswith("/") else reject(f"a path such as {CONFIG_PATH}")


def _path(value: Any) -> str:
    return value if isinstance(value, str) else reject("a path")


def _hosts(value: Any) -> tuple[str, ...]:
    hosts = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(hosts, list | tuple) or not hosts or not all(isinstance(host, str) for host in hosts):
        reject("a list of hosts")
    AllowedHosts.of(hosts)
    return tuple(hosts)


def _local_kinds(value: Any) -> tuple[str, ...]:
    kinds = strings(value)
    unknown = [kind for kind in kinds if kind not in LOCAL_KINDS]
    return reject(f"kinds out of {', '.join(LOCAL_KINDS)}") if unknown else kinds


@dataclass(frozen=True)
class ClientSettings:
    """Settings of a model client. Raises ValueError, naming the key, for an invalid value."""

    cache_size: int = setting(
        "maas.cache.maxSize",
        100_000,
        integer(0, 100_000_000),
        "Maximum number of cached results; 0 switches the cache off.",
    )
    cache_minutes: float = setting(
        "maas.cache.maxTimeRetain",
        10.0,
        number(0, 525_600),
        "Minutes after which a cached result expires; 0 switches the cache off.",
    )
    retries: int = setting(
        "maas.http.retries",
        1,
        integer(0, 1000),
        "Retries on other instances after a failure. A refused connection does not count.",
    )
    connect_timeout_ms: float = setting(
        "maas.http.connect.timeout.ms",
        1000.0,
        number(1, DAY_MS),
        "Time-out for a connection, including name resolution.",
    )
    timeout_ms: float = setting("maas.http.timeout.ms", 5000.0, number(1, DAY_MS), "Time-out for the whole response.")
    response_bytes: int = setting(
        "maas.http.max.response.bytes", 1 << 20, integer(0, 1 << 40), "Maximum size of a response."
    )
    version_order: str = setting(
        "maas.version.comparison",
        "natural",
        one_of(*VERSION_COMPARISONS),
        "Order of versions. `natural`: 10.0 comes after 9.0, and 1.0 after 1.0-rc1. `lexical`: as strings, like Metron;"
        " set it if Metron's own functions call the same models, so that both choose the same version.",
    )
    config_path: str = setting("maas.zk.config.path", CONFIG_PATH, _znode, "Path of the configuration in the registry.")
    deadline_ms: float = setting(
        "maas.http.deadline.ms",
        0.0,
        number(0, DAY_MS),
        "Deadline of a whole call: name resolution, waiting for a slot, retries and hedges included; 0 for none.",
    )
    max_in_flight: int = setting(
        "maas.http.max.in.flight",
        128,
        integer(0, 1_000_000),
        "Maximum number of concurrent requests to one instance; further ones wait for a slot; 0 for no limit.",
    )
    choice: str = setting(
        "maas.choice",
        "uniform",
        one_of(*CHOICES),
        "Load balancing. `uniform`: a random instance. `least-busy`: the better of two, by latency and requests in "
        "flight.",
    )
    breaker_failures: int = setting(
        "maas.breaker.failures",
        3,
        integer(1, 1000),
        "Failures in a row, within 10 seconds, that open the circuit of an instance.",
    )
    hedge_ms: float | None = setting(
        "maas.http.hedge.ms",
        None,
        number(0, DAY_MS),
        "Hedging delay: if the first instance has not responded by then, a second one is called, and the first "
        "response wins; 0 for never. Defaults to the 95th percentile of the model's recent latencies, at least 10.",
    )
    batch_size: int = setting(
        "maas.batch.size",
        64,
        integer(1, 1_000_000),
        "Maximum number of calls merged into one request, if a model has a function `batch`; 1 switches batches off.",
    )
    batch_wait_ms: float = setting(
        "maas.batch.wait.ms", 2.0, number(0, 60_000), "How long the first call of a batch waits for others."
    )
    shadow_file: str = setting(
        "maas.shadow.file", "", _path, "File for results of shadows that differ; none by default."
    )
    shadow_keys: tuple[str, ...] = setting(
        "maas.shadow.keys", (), strings, "Keys of the results to compare; all by default."
    )
    shadow_in_flight: int = setting(
        "maas.shadow.in.flight", 8, integer(1, 10_000), "Maximum number of concurrent calls of shadows."
    )
    hosts_allowed: tuple[str, ...] = setting(
        "maas.hosts.allowed",
        (),
        _hosts,
        "Hosts that may be called: a list of `host`, `host:8080`, `*.suffix`, networks such as `10.0.0.0/8`, or `*`; "
        "all by default. See [Allowed hosts](secure.md#allowed-hosts).",
    )
    tls_ca: str | None = setting(
        "maas.tls.ca",
        None,
        readable_file,
        "File with trusted certificate authorities for https; those of the system by default.",
    )
    tls_certificate: str | None = setting(
        "maas.tls.certificate", None, readable_file, "File with the client certificate, for models that require one."
    )
    tls_key: str | None = setting("maas.tls.key", None, readable_file, "File with the key of the client certificate.")
    http_auth: str | None = setting(
        "maas.http.auth",
        None,
        readable_file,
        "File with the credentials to send, in one line: `Bearer TOKEN` or `Basic USER:PASSWORD`.",
    )
    http_auth_plain: bool = setting(
        "maas.http.auth.plain", False, boolean, "Also send the credentials by http, unencrypted."
    )
    cache_bytes: int = setting(
        "maas.cache.maxBytes",
        64_000_000,
        integer(0, 1 << 40),
        "Maximum memory for cached results, in bytes; 0 switches the cache off.",
    )
    wait_ms: float = setting(
        "maas.wait.ms",
        5000.0,
        number(0, DAY_MS),
        "How long calls wait, once per outage, for a model without a reachable instance; 0 for not at all, like "
        "Metron.",
    )

    local: tuple[str, ...] = setting(
        "maas.local",
        (),
        _local_kinds,
        "Kinds of models that this process evaluates itself instead of calling their instances: `pmml`, `xgboost`, "
        "`lightgbm`; none by default. See [In this process](call.md#in-this-process).",
    )
    local_store: str = setting(
        "maas.local.store",
        "",
        _path,
        "Model store from which `maas.local` reads the files: a directory, `hdfs://HOST:PORT` or "
        "`webhdfs://HOST:PORT`; "
        "by default that of `maas serve` with the same registry.",
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.http_auth is not None and not self.hosts_allowed:
            raise ValueError("maas.http.auth needs maas.hosts.allowed, or the secret is sent to every registered host")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("maas.tls.certificate and maas.tls.key must be set together")

    @property
    def timeouts(self) -> Timeouts:
        return Timeouts(self.connect_timeout_ms / 1000, self.timeout_ms / 1000, self.response_bytes)

    @property
    def tls(self) -> TlsSettings:
        return TlsSettings(self.tls_ca, self.tls_certificate, self.tls_key, self.http_auth, self.http_auth_plain)

    @classmethod
    def from_global(cls, configuration: Mapping[str, Any]) -> ClientSettings:
        """Return the settings in a global configuration.

        Raises ValueError, naming the key, for an invalid value and for an unknown key that resembles a known one.
        """
        names = {each.metadata["key"]: each.name for each in fields(cls)}
        given: dict[str, Any] = {}
        for key, value in configuration.items():
            if key in SUPERSEDED:
                successor = SUPERSEDED[key]
                log.warning("%s is superseded by %s, which has precedence", key, successor)
                check_value(key, value, cls.__dataclass_fields__[names[successor]].metadata["check"])
                given.setdefault(names[successor], value)
            elif key in names:
                given[names[key]] = check_value(key, value, cls.__dataclass_fields__[names[key]].metadata["check"])
            elif isinstance(key, str) and key.lower().startswith(PREFIX) and key not in OTHER_KEYS:
                _check_unknown(key, value, (*names, *OTHER_KEYS))
        return cls(**given)


def _check_unknown(key: str, value: Any, known: tuple[str, ...]) -> None:
    by_lowercase = {each.lower(): each for each in known}
    if close := difflib.get_close_matches(key.lower(), by_lowercase, n=1, cutoff=0.7):
        raise ValueError(f"unknown key {key} (with the value {quote(value)}): did you mean {by_lowercase[close[0]]}?")
    log.warning("unknown key %s is ignored; known are %s", key, ", ".join(sorted(known)))
