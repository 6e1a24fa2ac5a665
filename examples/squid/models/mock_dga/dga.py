"""A mock model for generated domains: two domains are legit, and all others are malicious."""

from __future__ import annotations

from serving import serve

LEGIT = {"yahoo.com", "amazon.com"}


def apply(host: str | None = None) -> dict[str, str]:
    """Classify a domain."""
    return {"is_malicious": "legit" if host in LEGIT else "malicious"}


if __name__ == "__main__":
    serve({"/apply": apply})
