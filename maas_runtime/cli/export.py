"""maas export: the desired state as a file for `maas apply`."""

from __future__ import annotations

import argparse
from dataclasses import replace

from maas_runtime.cli.common import add_registry_options, open_backend, read_name
from maas_runtime.cli.difference import read_current
from maas_runtime.cli.manifest import ModelEntry, VersionEntry, format_manifest
from maas_runtime.cli.models import require_known

EXAMPLES = """examples:
  maas export > models.yaml
  maas export -n dga
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    add_registry_options(parser)
    parser.add_argument("-n", "--name", help="this model only")


def run(args: argparse.Namespace) -> int:
    """Print the desired state of all models, with their traffic plans."""
    with open_backend(args) as backend:
        models = read_current(backend.state_store)
    if args.name is not None:
        require_known("model", read_name(args.name), models)
        models = {args.name: models[args.name]}
    models = {name: _add_planned(model) for name, model in models.items()}
    fields = {
        name: {
            "versions": {version: vars(entry) for version, entry in model.versions.items()},
            **({"traffic": model.plan.to_note()} if model.plan else {}),
        }
        for name, model in models.items()
    }
    args.out.write(*format_manifest(models).splitlines(), models=fields)
    return 0


def _add_planned(model: ModelEntry) -> ModelEntry:
    """Return the model with an entry for each version of its plan: a file without them is rejected."""
    planned = [*model.plan.weights, *([model.plan.shadow.version] if model.plan.shadow else [])] if model.plan else []
    missing = {version: VersionEntry(0) for version in planned if version not in model.versions}
    return replace(model, versions={**model.versions, **missing})
