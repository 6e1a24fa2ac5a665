"""The location of a configuration in ZooKeeper, as an option names it: `zookeeper:HOST:PORT,…[/PATH]`."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from stellar.util.abbreviate import quote

SCHEME = "zookeeper:"
PUSH_FIRST = "check the path, which ends in /metron by default, or push a directory with zk_load_configs.sh -m PUSH"
_METRON = "/metron"


class ZooKeeperLocation(NamedTuple):
    """A configuration in ZooKeeper.

    hosts: the servers, with the node that is the root of all other paths, if that is not /
    root: the node whose child `topology` has the configurations
    """

    hosts: str
    root: str = _METRON

    @property
    def topology(self) -> str:
        """The node that has the configurations."""
        return f"{self.root}/topology"

    @property
    def has_models(self) -> bool:
        """True if the registry of models is at its usual path beside the configurations."""
        return self.root == _METRON

    def __str__(self) -> str:
        return f"{SCHEME}{self.hosts}{self.root}"


def read_location(text: str) -> Path | ZooKeeperLocation:
    """Return the directory or the node that an option names. Raises ValueError for an invalid node."""
    if not text.startswith(SCHEME):
        return Path(text)
    hosts, slash, path = text.removeprefix(SCHEME).partition("/")
    steps = path.split("/") if slash else [_METRON.strip("/")]
    if not hosts or {"", ".", ".."} & set(steps):
        raise ValueError(f"invalid location {quote(text)}: expected {SCHEME}HOST:PORT,…/PATH, as in {_EXAMPLE}")
    if steps[-1] == _METRON.strip("/"):
        return ZooKeeperLocation("/".join([hosts, *steps[:-1]]))
    return ZooKeeperLocation(hosts, "/" + "/".join(steps))


_EXAMPLE = f"{SCHEME}node1:2181,node2:2181{_METRON}"
