"""The brokers that ZooKeeper lists, for a Kafka that uses it."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from stellar.util.abbreviate import quote

_IDS = "/brokers/ids"
_FIX = "pass the brokers with --kafka HOST:PORT,..."


def find_brokers(zookeeper: str) -> str:
    """Return the hosts of the brokers that are registered in ZooKeeper.

    Raises ValueError if there are none, as with a Kafka that does not use ZooKeeper, and OSError if ZooKeeper is not
    available.
    """
    from stellar.repl.models import connect_zookeeper  # loads kazoo

    client = connect_zookeeper(zookeeper)
    try:
        ids = client.children(_IDS)
        nodes = [(f"{_IDS}/{id}", client.read(f"{_IDS}/{id}")) for id in sorted(ids)]
    finally:
        client.close()
    hosts = [host for path, data in nodes if data is not None for host in _read_endpoints(path, data)]
    if not hosts:
        raise ValueError(f"no broker is registered in ZooKeeper at {zookeeper}{_IDS}; {_FIX}")
    return ",".join(hosts)


def _read_endpoints(path: str, data: bytes) -> list[str]:
    """Return the hosts of a broker: those of its first endpoint."""
    try:
        broker = json.loads(data)
        first = next(iter(broker.get("endpoints") or []), None)
        if first is None:
            return [f"{broker['host']}:{broker['port']}"] if broker.get("host") else []
        parts = urlsplit(first)
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"cannot read the broker {quote(path)}: {error}; {_FIX}") from error
    return [f"{parts.hostname}:{parts.port}"]
