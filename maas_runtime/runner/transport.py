"""The transport by which a runner calls the server that it started itself."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

from stellar.maas.transport.base import Timeouts
from stellar.maas.transport.http import HttpTransport


def open_transport(url: str, timeouts: Timeouts) -> HttpTransport:
    """Return a transport for the server at a URL."""
    if urlsplit(url).scheme == "http":
        return HttpTransport(timeouts)
    # The runner started this server itself and sends no secrets, so the certificate is not verified
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return HttpTransport(timeouts, context=context)
