"""The Kerberos identity of services on a secure YARN."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from maas_runtime.store.options import connect_hdfs, uses_kerberos
from stellar.util.abbreviate import quote


@dataclass(frozen=True)
class ServicePrincipal:
    """The Kerberos identity of a service: its application master authenticates with it for as long as it runs.

    name: a principal with a host, such as `maas/_HOST@EXAMPLE.ORG`; YARN replaces _HOST with the master's host name
    keytab: the URI of a file with its key: hdfs:///… for a file that YARN copies to the master's node, or file:///…
        for a file on every node

    Raises ValueError for a name or a URI that YARN cannot use.
    """

    name: str
    keytab: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[^\s/@]+/[^\s/@]+(@[^\s/@]+)?", self.name):
            raise ValueError(
                f"invalid principal {quote(self.name)} for services on YARN: expected one with a host; "
                "pass --yarn-principal NAME/_HOST@REALM"
            )
        if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^\s/]*/\S+", self.keytab):
            raise ValueError(
                f"invalid --yarn-keytab {quote(self.keytab)}: expected a URI, such as hdfs:///user/maas/maas.keytab or "
                "file:///etc/security/maas.keytab"
            )

    def as_specification(self) -> dict[str, str]:
        """Return the value of `kerberos_principal` in the specification of a service."""
        return {"principal_name": self.name, "keytab": self.keytab}


def add_principal_options(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument(
        "--yarn-principal",
        metavar="NAME/_HOST@REALM",
        help="Kerberos principal of the services on YARN, of the same user (default: --principal)",
    )
    parser.add_argument(
        "--yarn-keytab",
        metavar="URI",
        help="keytab of that principal: hdfs:///… , or file:///… on every node (default: --keytab, on every node)",
    )


def read_principal(args: argparse.Namespace) -> ServicePrincipal | None:
    """Return the identity of services that the options select; None without Kerberos.

    Raises ValueError if they select none although Kerberos is used, or an invalid one; OSError if its keytab is in HDFS
    and that cannot be read.
    """
    if not uses_kerberos(args):
        if args.yarn_principal is not None or args.yarn_keytab is not None:
            raise ValueError("--yarn-principal and --yarn-keytab require Kerberos: add --principal and --keytab")
        return None
    name = args.yarn_principal or args.principal
    keytab = args.yarn_keytab or (args.keytab and args.keytab.absolute().as_uri())
    if name is None or keytab is None:
        raise ValueError(
            "a YARN with Kerberos requires a principal and a keytab for the services: add --yarn-principal "
            "NAME/_HOST@REALM and --yarn-keytab URI"
        )
    principal = ServicePrincipal(name, keytab)
    _check_keytab(principal.keytab, args)
    return principal


def _check_keytab(keytab: str, args: argparse.Namespace) -> None:
    """Check that a keytab in HDFS exists, since YARN only logs that it does not, and then cannot reach its services.

    Raises ValueError if it does not exist, OSError if HDFS cannot be read.
    """
    parts = urlsplit(keytab)
    if parts.scheme != "hdfs":
        return
    with connect_hdfs(args, f"hdfs://{parts.netloc}" if parts.netloc else None) as hdfs:
        if hdfs.status(unquote(parts.path)) is None:
            raise ValueError(f"--yarn-keytab {keytab} does not exist; upload it: hdfs dfs -put KEYTAB {keytab}")


def principal_options(principal: ServicePrincipal | None) -> list[str]:
    """Return the options that select a principal."""
    return [] if principal is None else [f"--yarn-principal={principal.name}", f"--yarn-keytab={principal.keytab}"]
