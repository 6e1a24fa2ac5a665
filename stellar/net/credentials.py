"""Credentials for servers: the Authorization header from a file, and TLS certificates."""

from __future__ import annotations

import base64
import logging
import re
import ssl
from pathlib import Path

log = logging.getLogger(__name__)

_BEARER = re.compile(r"Bearer ([A-Za-z0-9._~+/-]+=*)")
_BASIC = re.compile(r"Basic ([^:\x00-\x1f\x7f]+:[^\x00-\x1f\x7f]*)")


class Authorization:
    """The value of the Authorization header, from a file with one line: `Bearer TOKEN` or `Basic USER:PASSWORD`.

    The file is read again when it changes. Its content is never part of a message.

    plain: True to send it by http too, unencrypted

    Raises ValueError for invalid content, OSError if the file can't be read.
    """

    def __init__(self, file: str, *, plain: bool = False) -> None:
        self._file, self._plain = Path(file), plain
        self._stamp: tuple[int, int, int] | None = None
        self._header = ""
        self._read()
        if self._file.stat().st_mode & 0o077:
            log.warning("credentials in %s are readable by other users; run chmod 600 on it", file)

    def header(self, *, secure: bool) -> str | None:
        """Return the value of the header; None if it must not be sent on this connection.

        secure: True for a TLS connection

        Raises ValueError if the file has become invalid, OSError if it has become unreadable.
        """
        if not secure and not self._plain:
            return None
        self._read()
        return self._header

    def _read(self) -> None:
        status = self._file.stat()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._stamp:
            self._header = _header(self._file)
            self._stamp = stamp

    def __repr__(self) -> str:
        return f"Authorization({str(self._file)!r})"


def _header(file: Path) -> str:
    line = file.read_bytes()[:10_000].decode("utf-8", "replace").strip()
    if _BEARER.fullmatch(line):
        return line
    if match := _BASIC.fullmatch(line):
        user, _, password = match[1].partition(":")
        return basic_authorization(user, password)
    raise ValueError(f"invalid credentials in {file}: expected one line, Bearer TOKEN or Basic USER:PASSWORD")


def basic_authorization(user: str, password: str) -> str:
    """Return the value of an Authorization header with Basic credentials (RFC 7617), in UTF-8."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def tls_context(ca: str | None, certificate: str | None = None, key: str | None = None) -> ssl.SSLContext:
    """Return a TLS context for HTTP/1.1 clients.

    ca: file with trusted certificate authorities; None for those of the system
    certificate, key: files of the client certificate; None for no certificate

    Raises ValueError, naming the files, if they are invalid or unreadable.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise ValueError(f"can't use the authorities in {ca}: {error}") from None
    context.set_alpn_protocols(["http/1.1"])
    if key is not None and certificate is None:
        raise ValueError(f"the key in {key} has no effect without a certificate")
    if certificate is not None:
        try:
            # An encrypted key is rejected, because OpenSSL would prompt for its password
            context.load_cert_chain(certificate, key, password=lambda: "")
        except OSError as error:
            raise ValueError(f"can't use the certificate in {certificate} with the key in {key}: {error}") from None
    return context
