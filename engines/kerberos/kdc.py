"""A Kerberos server on a free port of this machine, with its own realm (MIT Kerberos from Debian's packages).

`python -m engines.kerberos.kdc` starts one, until interrupted.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

from engines.daemon import Daemon, Engine, EngineError, free_ports, run, run_until_interrupted

REALM = "EXAMPLE.TEST"
PROGRAMS = ("krb5kdc", "kdb5_util", "kadmin.local", "kinit")

CLIENTS = """[libdefaults]
  default_realm = {realm}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
[realms]
  {realm} = {{
    kdc = 127.0.0.1:{port}
  }}
[domain_realm]
  localhost = {realm}
"""
SERVER = """[kdcdefaults]
  kdc_listen = 127.0.0.1:{port}
  kdc_tcp_listen = 127.0.0.1:{port}
[realms]
  {realm} = {{
    database_name = {folder}/principal
    key_stash_file = {folder}/stash
    max_life = 10h
  }}
"""


class Kdc(Engine):
    """A Kerberos server, as a context manager."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="kdc-"))
        (port,) = free_ports(1)
        self.clients = self.folder / "krb5.conf"
        self.clients.write_text(CLIENTS.format(realm=REALM, port=port))
        (self.folder / "kdc.conf").write_text(SERVER.format(realm=REALM, port=port, folder=self.folder))
        self._environment = {
            **self.environment,
            "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf"),
            "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin",
        }
        program = shutil.which("krb5kdc", path=self._environment["PATH"]) or "krb5kdc"
        self.daemon = Daemon([program, "-n"], self.folder, self._gives_tickets, self._environment)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its clients."""
        return {"KRB5_CONFIG": str(self.clients)}

    @property
    def java(self) -> tuple[str, ...]:
        """The options of its Java clients."""
        return (f"-Djava.security.krb5.conf={self.clients}",)

    def keytab(self, *principals: str) -> Path:
        """Create principals, such as `HTTP/localhost`, and return a keytab for them."""
        file = self.folder / f"{principals[0].replace('/', '-')}.keytab"
        for principal in principals:
            self._administrate(f"addprinc -randkey {principal}")
            self._administrate(f"ktadd -k {file} {principal}")
        return file

    def ticket(self, principal: str, keytab: Path, cache: Path, life: str = "1h") -> None:
        """Get a ticket with kinit."""
        self._run("kinit", "-l", life, "-c", str(cache), "-k", "-t", str(keytab), principal)

    def start(self) -> None:
        self._run("kdb5_util", "create", "-s", "-P", "master", "-r", REALM)
        self._probe = self.keytab("probe")
        self.daemon.start()
        self.daemon.await_ready(20)

    def _gives_tickets(self) -> bool:
        try:
            self.ticket("probe", self._probe, self.folder / "probe.cache")
        except EngineError:
            return False
        return True

    def _administrate(self, query: str) -> None:
        self._run("kadmin.local", "-r", REALM, "-q", query)

    def _run(self, *command: str) -> None:
        run(command, 20, self._environment)

    def stop(self) -> None:
        self.daemon.stop()


def main() -> None:
    """Start it, and print how to use it."""
    with run_until_interrupted(), Kdc() as kdc:
        print(f"KRB5_CONFIG={kdc.clients}", f"kadmin: KRB5_KDC_PROFILE={kdc.folder}/kdc.conf kadmin.local", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
