"""Kerberos toward Hadoop's REST interfaces: HTTP's `Negotiate`, with a ticket that is there or by a keytab.

The packages for it need a C compiler and Kerberos' own headers: pip install 'stellar-maas[kerberos]'.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Generator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx

SERVICE = "HTTP"

# What Kerberos says, and what helps
_HELP = (
    (r"expired", "the ticket has expired; get a new one: kinit"),
    (r"[Cc]lock skew", "the clocks of this machine and of the Kerberos server differ; set them right"),
    (r"not found in Kerberos database|UNKNOWN_SERVER|UNKNOWN_PRINC", "Kerberos does not know one of the two names"),
    (r"[Cc]annot (contact|find|resolve).*KDC", "its server can't be reached; see /etc/krb5.conf or $KRB5_CONFIG"),
    (r"[Kk]eytab|[Kk]ey table", "the keytab has no such principal, or can't be read"),
    (
        r"[Nn]o (Kerberos )?[Cc]redential|[Cc]redential(s)? cache|No such file",
        "there is no ticket; get one: kinit, or name a keytab",
    ),
)


@dataclass(frozen=True)
class Identity:
    """Who we are to Kerberos.

    principal: such as `maas@EXAMPLE.ORG`; None for the one of the ticket that is there
    keytab: a file with the principal's key; None for a ticket that somebody got by kinit
    """

    principal: str | None = None
    keytab: Path | None = None

    def __post_init__(self) -> None:
        if self.keytab is not None and self.principal is None:
            raise ValueError("a keytab goes with the name of a principal that it has: --principal NAME@REALM")
        if self.keytab is not None and not os.access(self.keytab, os.R_OK):
            raise ValueError(f"the keytab {self.keytab} can't be read")


class Negotiate(httpx.Auth):
    """Shows who we are when a server asks for it; the cookie that it gives then is enough for some hours.

    Raises ModuleNotFoundError where the packages for it are missing; using it raises PermissionError, with the mend.
    """

    def __init__(self, identity: Identity) -> None:
        if find_spec("spnego") is None or find_spec("gssapi") is None:
            raise ModuleNotFoundError(
                "Kerberos needs other packages: apt-get install gcc python3-dev libkrb5-dev, then "
                "pip install 'stellar-maas[kerberos]'"
            )
        self.identity = identity

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        response = yield request
        if response.status_code != 401 or not _asks(response):
            return
        host = request.url.host
        exchange = self._exchange(host)
        request.headers["Authorization"] = _header(_stepped(exchange, None, host))
        response = yield request
        if response.status_code == 401:
            raise PermissionError(f"{host} does not take us for who we say, {self._name()}: {_words(response)}")
        if (answer := _token(response)) is not None and not exchange.complete:
            _stepped(exchange, answer, host)  # it must be the one that it says, too

    def _name(self) -> str:
        return self.identity.principal or "the one of the ticket"

    def _exchange(self, host: str) -> Any:
        import spnego

        who: Any = None
        if self.identity.keytab is not None:
            who = spnego.KerberosKeytab(str(self.identity.keytab), self.identity.principal)
        elif self.identity.principal is not None:
            who = self.identity.principal  # in whichever cache of tickets is the usual one
        try:
            return spnego.client(who, hostname=host, service=SERVICE, protocol="kerberos")
        except Exception as error:  # its own errors have no common ground
            raise _refusal(error, host) from error


def _asks(response: httpx.Response) -> bool:
    return any(word.strip().lower().startswith("negotiate") for word in response.headers.get_list("www-authenticate"))


def _token(response: httpx.Response) -> bytes | None:
    found = re.search(r"negotiate\s+([A-Za-z0-9+/=]+)", response.headers.get("www-authenticate", ""), re.IGNORECASE)
    try:
        return base64.b64decode(found[1], validate=True) if found else None
    except ValueError:
        raise PermissionError(f"{response.url.host} answers with a ticket that is none") from None


def _stepped(exchange: Any, token: bytes | None, host: str) -> bytes:
    try:
        return exchange.step(token) or b""
    except Exception as error:  # its own errors have no common ground
        raise _refusal(error, host) from error


def _header(token: bytes) -> str:
    return "Negotiate " + base64.b64encode(token).decode("ascii")


def _words(response: httpx.Response) -> str:
    return response.reason_phrase or str(response.status_code)


def _refusal(error: Exception, host: str) -> PermissionError:
    said = " ".join(str(error).split())
    for pattern, mend in _HELP:
        if re.search(pattern, said):
            return PermissionError(f"Kerberos gives no ticket for {SERVICE}@{host}: {mend} ({said})")
    return PermissionError(f"Kerberos gives no ticket for {SERVICE}@{host}: {said}")
