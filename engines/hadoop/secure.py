"""HDFS and YARN with Kerberos on free ports of this machine, with the Kerberos server of `engines.kerberos`.

`python -m engines.hadoop.secure` starts them, with a ZooKeeper, until interrupted.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from engines.daemon import run_until_interrupted
from engines.hadoop.hdfs import Hdfs
from engines.hadoop.site import LOCALHOST, Properties
from engines.hadoop.yarn import MASTER_OPTIONS, Yarn
from engines.kerberos.kdc import REALM, Kdc
from engines.zookeeper.server import ZooKeeper
from stellar.net.hadoop.kerberos import Identity, Negotiate
from stellar.net.hadoop.webhdfs import WebHdfs

HTTP = f"HTTP/localhost@{REALM}"
NAME_NODE = f"hdfs/localhost@{REALM}"
RESOURCE_MANAGER, NODE_MANAGER = f"rm/localhost@{REALM}", f"nm/localhost@{REALM}"


def named(url: str) -> str:
    """Return a URL with the host name that is in the principal of its server."""
    return url.replace(LOCALHOST, "localhost")


def make_ask(identity: Identity) -> Callable[[str], Any]:
    """Return a function that returns the JSON at a URL, requested with an identity; None without a response."""

    def ask(url: str) -> Any:
        try:
            with httpx.Client(auth=Negotiate(identity)) as client:
                return client.get(named(url)).json()
        except (httpx.HTTPError, ValueError):
            return None

    return ask


class SecureHdfs(Hdfs):
    """HDFS with Kerberos, for its REST interface too.

    The environment has to be that of the Kerberos server's clients.
    keytab: the keys of its servers, of HTTP/localhost and hdfs/localhost; the latter is the superuser
    """

    def __init__(self, kdc: Kdc, keytab: Path) -> None:
        self.superuser = Identity(NAME_NODE, keytab)
        core = {
            "hadoop.security.authentication": "kerberos",
            "hadoop.security.authorization": True,
            "hadoop.http.authentication.type": "kerberos",
            "hadoop.http.authentication.kerberos.principal": HTTP,
            "hadoop.http.authentication.kerberos.keytab": keytab,
            "hadoop.proxyuser.rm.hosts": "*",  # the resource manager acts for the users of its services
            "hadoop.proxyuser.rm.groups": "*",
        }
        site = {
            "dfs.namenode.kerberos.principal": NAME_NODE,
            "dfs.namenode.keytab.file": keytab,
            "dfs.datanode.kerberos.principal": NAME_NODE,
            "dfs.datanode.keytab.file": keytab,
            "dfs.web.authentication.kerberos.principal": HTTP,
            "dfs.web.authentication.kerberos.keytab": keytab,
            "dfs.block.access.token.enable": True,
            "ignore.secure.ports.for.testing": True,
        }
        super().__init__(core, site, kdc.java, make_ask(self.superuser))

    def client(self, identity: Identity | None = None) -> WebHdfs:
        """Return a client; by default, one without authentication."""
        return WebHdfs([named(self.url)], uri=self.uri, auth=identity and Negotiate(identity))

    def put(self, path: str, data: bytes) -> str:
        with self.client(self.superuser) as client:
            client.write(path, data)
        return self.uri + path

    def make_folder(self, path: str, **change: str) -> None:
        """Create a directory, with another `owner` or `permission` than the superuser's."""
        with self.client(self.superuser) as client:
            client._request_json("PUT", path, "MKDIRS")
            for key, value in change.items():
                client._request_json("PUT", path, f"SET{key}".upper(), **{key: value})


class SecureYarn(Yarn):
    """YARN with Kerberos, for its REST interface too, on a secure HDFS.

    keytab: the keys of its servers, of HTTP/localhost, rm/localhost and nm/localhost
    """

    def __init__(self, kdc: Kdc, quorum: str, hdfs: SecureHdfs, keytab: Path) -> None:
        site: Properties = {
            "yarn.resourcemanager.principal": RESOURCE_MANAGER,
            "yarn.resourcemanager.keytab": keytab,
            "yarn.resourcemanager.webapp.spnego-principal": HTTP,
            "yarn.resourcemanager.webapp.spnego-keytab-file": keytab,
            "yarn.nodemanager.principal": NODE_MANAGER,
            "yarn.nodemanager.keytab": keytab,
            "yarn.nodemanager.webapp.spnego-principal": HTTP,
            "yarn.nodemanager.webapp.spnego-keytab-file": keytab,
            "yarn.nodemanager.env-whitelist": "JAVA_HOME,HADOOP_CONF_DIR,PATH,KRB5_CONFIG",
            "yarn.am.liveness-monitor.expiry-interval-ms": 60000,  # a master logs in before it registers
            "yarn.service.am.java.opts": " ".join((MASTER_OPTIONS, *kdc.java)),
        }
        # Without this filter, the resource manager's REST interface accepts everyone
        core = {"hadoop.http.filter.initializers": "org.apache.hadoop.security.AuthenticationFilterInitializer"}
        ask = make_ask(Identity(RESOURCE_MANAGER, keytab))
        for path in ("/services", "/tmp"):  # written by the masters of all users' services
            hdfs.make_folder(path, permission="1777")
        super().__init__(quorum, hdfs=hdfs, site=site, core=core, java=kdc.java, ask=ask)


def main() -> None:
    """Start them, and print how to use them."""
    with run_until_interrupted(), Kdc() as kdc, ZooKeeper() as zookeeper:
        os.environ.update(kdc.environment)
        keytab = kdc.keytab("HTTP/localhost", "hdfs/localhost", "rm/localhost", "nm/localhost")
        user = kdc.keytab("maas/localhost")
        with SecureHdfs(kdc, keytab) as hdfs:
            hdfs.make_folder("/user/maas", owner="maas")
            with SecureYarn(kdc, zookeeper.hosts, hdfs, keytab) as yarn:
                print(
                    f"KRB5_CONFIG={kdc.clients} HADOOP_CONF_DIR={yarn.conf} "
                    f"maas serve -zq {zookeeper.hosts} --yarn {named(yarn.url)} "
                    f"--principal maas/localhost@{REALM} --keytab {user}",
                    flush=True,
                )
                signal.pause()


if __name__ == "__main__":
    main()
