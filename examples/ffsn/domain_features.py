"""The features of a domain: Stellar expressions, which are those of the parser in `config/parsers/dns.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import stellar

PARSER = Path(__file__).parent / "config/parsers/dns.json"
MANY = 10  # the model scores domains with so many addresses


def read_features() -> dict[str, str]:
    """Return the expressions of the features by name.

    The number of addresses is not a feature, as it decides which domains are scored.
    """
    (transformation,) = json.loads(PARSER.read_text("utf-8"))["fieldTransformations"]
    return {name: source for name, source in transformation["config"].items() if name != "n_addresses"}


def compute_features(domains: Iterable[dict[str, Any]]) -> list[dict[str, float]]:
    """Return the features of domains."""
    compiled = {name: stellar.compile(expression) for name, expression in read_features().items()}
    return [{name: float(expression(domain)) for name, expression in compiled.items()} for domain in domains]


def read_domains(file: Path) -> list[dict[str, Any]]:
    """Return the domains of a file that have many addresses, which are those that the model scores."""
    domains = map(json.loads, file.read_text("utf-8").splitlines())
    return [domain for domain in domains if len(set(domain["addresses"])) >= MANY]
