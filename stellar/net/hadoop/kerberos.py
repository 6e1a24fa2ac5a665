"""Kerberos authentication to Hadoop's REST interfaces by HTTP Negotiate (SPNEGO).

The ticket is that of kinit, or comes from a keytab. The extra `stellar-maas[kerberos]` needs a C compiler and the
Kerberos headers.
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

# Patterns of messages of Kerberos, and how to fix the problem
_HELP = (
    (r"expired", "the ticket has expired; run kinit"),
    (r"[Cc]lock skew", "the clocks of this machine and of the Kerberos server differ; synchronize them"),
    (r"not found in Kerberos database|UNKNOWN_SERVER|UNKNOWN_PRINC", "unknown principal of the client or the service"),
    (r"[Cc]annot (contact|find|resolve).*KDC", "can't reach the Kerberos server; check /etc/krb5.conf or $KRB5_CONFIG"),
    (r"[Kk]eytab|[Kk]ey table", "the keytab is unreadable or does not contain the principal"),
    (
        r"[Nn]o (Kerberos )?[Cc]redential|[Cc]redential(s)? cache|No such file",
        "no ticket found; run kinit or pass a keytab",
    ),
)


@dataclass(frozen=True)
class Identity:
    """The Kerberos identity of the client.

    principal: such as `maas@EXAMPLE.ORG`; None for the principal of the cached ticket
    keytab: a file with the key of the principal; None for a ticket from kinit

    Raises ValueError for a keytab that is unreadable or has no principal.
    """

    principal: str | None = None
    keytab: Path | None = None

    def __post_init__(self) -> None:
        if self.keytab is not None and self.principal is None:
            raise ValueError("a keytab needs a principal; pass --principal NAME@REALM")
        if self.keytab is not None and not os.access(self.keytab, os.R_OK):
            raise ValueError(f"can't read the keytab {self.keytab}")


class Negotiate(httpx.Auth):
    """Authentication by Kerberos when a server requires it; the cookie of its response is valid for some hours.

    Raises ModuleNotFoundError without the packages of the extra. Requests raise PermissionError, with a fix, without a
    ticket or if the server rejects it.
    """

    def __init__(self, identity: Identity) -> None:
        if find_spec("spnego") is None or find_spec("gssapi") is None:
            raise ModuleNotFoundError(
                "Kerberos needs additional packages; run apt-get install gcc python3-dev libkrb5-dev, then "
                "pip install 'stellar-maas[kerberos]'"
            )
        self.identity = identity

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send a request, and again with a ticket if the response is a challenge."""
        response = yield request
        if response.status_code != 401 or not _is_challenge(response):
            return
        host = request.url.host
        exchange = self._open_exchange(host)
        request.headers["Authorization"] = _header(_step(exchange, None, host))
        response = yield request
        if response.status_code == 401:
            raise PermissionError(f"{host} rejected the principal {self._principal()}: {_reason(response)}")
        if (token := _token(response)) is not None and not exchange.complete:
            _step(exchange, token, host)  # mutual authentication: the server proves its identity, too

    def _principal(self) -> str:
        return self.identity.principal or "of the cached ticket"

    def _open_exchange(self, host: str) -> Any:
        import spnego

        credential: Any = self.identity.principal  # from the default ticket cache
        if self.identity.keytab is not None:
            credential = spnego.KerberosKeytab(str(self.identity.keytab), self.identity.principal)
        try:
            return spnego.client(credential, hostname=host, service=SERVICE, protocol="kerberos")
        except Exception as error:  # the errors of spnego have no common base class
            raise _to_error(error, host) from error


def _is_challenge(response: httpx.Response) -> bool:
    return any(word.strip().lower().startswith("negotiate") for word in response.headers.get_list("www-authenticate"))


def _token(response: httpx.Response) -> bytes | None:
    found = re.search(r"negotiate\s+([A-Za-z0-9+/=]+)", response.headers.get("www-authenticate", ""), re.IGNORECASE)
    try:
        return base64.b64decode(found[1], validate=True) if found else None
    except ValueError:
        raise PermissionError(f"invalid Negotiate token in the response of {response.url.host}") from None


def _step(exchange: Any, token: bytes | None, host: str) -> bytes:
    try:
        return exchange.step(token) or b""
    except Exception as error:  # the errors of spnego have no common base class
        raise _to_error(error, host) from error


def _header(token: bytes) -> str:
    return "Negotiate " + base64.b64encode(token).decode("ascii")


def _reason(response: httpx.Response) -> str:
    return response.reason_phrase or str(response.status_code)


def _to_error(error: Exception, host: str) -> PermissionError:
    message = " ".join(str(error).split())
    for pattern, fix in _HELP:
        if re.search(pattern, message):
            return PermissionError(f"no Kerberos ticket for {SERVICE}@{host}: {fix} ({message})")
    return PermissionError(f"no Kerberos ticket for {SERVICE}@{host}: {message}")
