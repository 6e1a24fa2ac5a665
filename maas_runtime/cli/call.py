"""maas call: one call of a model, made as the Stellar functions make it."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from maas_runtime.cli.common import InvalidOptions, add_registry_options, is_given, open_backend, reject_options
from maas_runtime.cli.models import find_models, parse_model
from stellar.maas.client import failure_log
from stellar.maas.client.client import ModelClient
from stellar.maas.client.settings import ClientSettings
from stellar.maas.errors import MaasError
from stellar.maas.registries.open import open_registry
from stellar.maas.registry import Registry
from stellar.maas.routing import Chosen
from stellar.maas.schema import read_json
from stellar.maas.zookeeper import ZooKeeper, ZooKeeperSettings
from stellar.util.abbreviate import quote

EXAMPLES = """examples:
  maas call dga host=example.com
  maas call dga@2.0 host=example.com --function score
  maas call dga host=example.com 'features:=[1, 2.5, null]'
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    add_registry_options(parser)
    add = parser.add_argument
    add("model", metavar="NAME[@VERSION]", help="the model; without a version, the traffic plan selects one")
    add(
        "arguments",
        nargs="*",
        type=_parse_argument,
        metavar="ARGUMENT",
        help="an argument of the model: NAME=STRING, NAME:=JSON, or NAME alone for null",
    )
    add("--function", metavar="NAME", help="function of the model, or a path (default: apply)")
    add("--key", help="the traffic plan selects the same version for the same key")
    add(
        "--settings",
        type=Path,
        metavar="FILE",
        help="a global configuration with settings of the client, such as maas.http.timeout.ms",
    )


def _parse_argument(text: str) -> tuple[str, Any]:
    """Parse an argument of a model, for argparse."""
    name, equals, value = text.partition("=")
    if not name.strip(":"):
        raise argparse.ArgumentTypeError(f"invalid argument {quote(text)}: expected NAME=STRING, NAME:=JSON or NAME")
    if not equals:
        return name, None
    if not name.endswith(":"):
        return name, value
    try:
        return name[:-1], read_json(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"invalid JSON in {quote(text)}: {error}") from None


def run(args: argparse.Namespace) -> int:
    """Call a model once, and print its result."""
    logging.getLogger(failure_log.__name__).setLevel(logging.ERROR)  # the failure is printed as an error
    arguments = dict(args.arguments)
    if len(arguments) < len(args.arguments):
        raise InvalidOptions("duplicate argument: give each name once")
    settings = _read_settings(args)
    with open_backend(args) as backend:
        name, version = parse_model(args.model, find_models(backend))
    if version is not None:
        reject_options(args, "with a version", "key")
    with _open_registry(args, settings) as registry, ModelClient(registry, settings) as client:
        return _call(args, client, name, version, arguments)


def _call(
    args: argparse.Namespace, client: ModelClient, name: str, version: str | None, arguments: dict[str, Any]
) -> int:
    began = monotonic()
    args.out.write(name=name, function=args.function or "apply", arguments=arguments)
    try:
        endpoint = client.endpoint(name, version, args.key).as_map()
        args.out.write(version=endpoint["version"])
        chosen = endpoint if version is not None else Chosen(endpoint, args.key)
        result = client.apply(chosen, args.function, arguments)
    except MaasError as error:
        args.out.write(reason=error.reason, url=error.url)
        raise
    finally:
        args.out.write(milliseconds=round((monotonic() - began) * 1000, 1))
    args.out.write(json.dumps(result, indent=2), result=result)
    return 0


def _read_settings(args: argparse.Namespace) -> ClientSettings:
    """Return the client's settings. Raises ValueError or OSError for an invalid file."""
    given: Any = {}
    if args.settings is not None:
        try:
            given = read_json(args.settings.read_bytes())
        except ValueError as error:
            raise ValueError(f"{args.settings}: {error}") from None
        if not isinstance(given, dict):
            raise ValueError(f"{args.settings}: expected a JSON object")
    if is_given(args, "zk_root"):
        given = {**given, "maas.zk.config.path": args.zk_root}
    return ClientSettings.from_global(given)


@contextmanager
def _open_registry(args: argparse.Namespace, settings: ClientSettings) -> Iterator[Registry]:
    if args.zk_quorum is None:
        with open_registry(args.registry, None, settings) as registry:
            yield registry
        return
    with (
        ZooKeeper(ZooKeeperSettings.read(args.zk_quorum, args.zk_client)) as connection,
        open_registry(None, connection, settings) as registry,
    ):
        yield registry
