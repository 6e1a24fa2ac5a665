"""Who we are, for models that ask: a certificate, and a word kept in a file."""

from __future__ import annotations

import base64
import logging
import re
import ssl
from pathlib import Path

from stellar.maas.errors import ModelUnavailable

log = logging.getLogger(__name__)

_BEARER = re.compile(r"Bearer ([A-Za-z0-9._~+/-]+=*)")
_BASIC = re.compile(r"Basic ([^:\x00-\x1f\x7f]+:[^\x00-\x1f\x7f]*)")


class Authorization:
    """What a file says of who we are: one line, `Bearer TOKEN` or `Basic USER:PASSWORD`.

    It is read anew when it changes.

    plain: whether it may be told where others can read along, by http without TLS

    It is never part of a message. Raises ValueError if the file holds no such line, OSError if it can't be read.
    """

    def __init__(self, file: str, *, plain: bool = False) -> None:
        self._file, self._plain = Path(file), plain
        self._stamp: tuple[int, int, int] | None = None
        self._header = ""
        self._read()
        if self._file.stat().st_mode & 0o077:
            log.warning("others may read %s, which says who we are; chmod 600 it", file)

    def header(self, *, secure: bool) -> str | None:
        """The header's value, for a connection of this kind; None where it is not to be told.

        Raises ModelUnavailable if the file can't be used any more.
        """
        if not secure and not self._plain:
            return None
        try:
            self._read()
        except (OSError, ValueError) as error:
            raise ModelUnavailable(f"nobody can be told who we are: {error}", "not allowed") from None
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
        return f"Basic {base64.b64encode(match[1].encode()).decode()}"
    raise ValueError(f"{file} must hold one line, Bearer TOKEN or Basic USER:PASSWORD")


def tls_context(ca: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext:
    """How connections are secured: whom we trust, and who we are.

    ca: a file with the authorities to trust; None for those of the system
    certificate, key: files with our own; None if nobody asks for it

    Raises ValueError, naming the files, if they can't be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise ValueError(f"maas.tls.ca: {ca} can't be used: {error}") from None
    if certificate is not None:
        try:
            # A key that asks for a password is refused, or we would wait for somebody to type it
            context.load_cert_chain(certificate, key, password=lambda: "")
        except OSError as error:
            raise ValueError(f"maas.tls.certificate: {certificate} with {key} can't be used: {error}") from None
    return context
