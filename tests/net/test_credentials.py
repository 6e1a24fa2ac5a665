"""TLS contexts of clients."""

from __future__ import annotations

import pytest

from stellar.net.credentials import tls_context


def test_a_key_without_a_certificate_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match=r"the key in client\.key has no effect without a certificate"):
        tls_context(None, None, "client.key")
