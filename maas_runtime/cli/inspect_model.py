"""maas inspect: show what a model file has, before it is deployed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from maas_runtime.cli.common import InvalidOptions
from maas_runtime.cli.output import Output, add_output_option, format_table, make_printable
from maas_runtime.serving.detection import KINDS, find_model
from maas_runtime.serving.verification import load_verified, read_content
from maas_runtime.store.base import choose_script, has_script
from stellar.models.scoring import ScoringModel
from stellar.models.signature import FieldSignature, describe_inputs, describe_outputs
from stellar.util.abbreviate import abbreviate

EXAMPLES = """examples:
  maas inspect ./ffsn
  maas inspect model.pmml --output json
"""

MOST_VALUES = 8  # of a field that are shown


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("path", type=Path, metavar="FOLDER|FILE", help="a model's folder, or a file of PMML, XGBoost or LightGBM")
    add("--model", metavar="FILE", help="model file of the folder, if there are several")
    add_output_option(parser)
    add("--debug", action="store_true", help="print the traceback of an error")
    parser.set_defaults(parser=parser)


def run(args: argparse.Namespace) -> int:
    """Load and verify a model, and print its kind, inputs and outputs. A folder with a start script shows only that."""
    if args.path.is_file() and args.model:
        raise InvalidOptions("--model has no effect: the path is a file")
    if args.path.is_dir() and has_script(args.path) and not args.model:
        script = choose_script(args.path, None)
        args.out.write(f"start script: {make_printable(script)}", kind="script", script=script)
        return 0
    found = find_model(args.path, args.model)
    data = read_content(found)
    size = f"{len(data):,} bytes"
    args.out.write(
        f"model: {make_printable(str(found.file))}: {KINDS[found.kind]}, {size}",
        kind=found.kind,
        file=str(found.file),
        size=len(data),
    )
    _show(args.out, load_verified(found, data))
    return 0


def _show(out: Output, model: ScoringModel) -> None:
    """Print the fields of a model, and how many records proved it."""
    for name, fields in (("inputs", describe_inputs(model)), ("outputs", describe_outputs(model))):
        out.write(f"{name}:", *_format_fields(fields), **{name: [field.to_object() for field in fields]})
    verification = model.document.model.verification
    count = 0 if verification is None else len(verification.rows)
    line = f"{count} records of the file have the expected results" if count else "the file has no records for it"
    out.write(f"verification: {line}", verified=count)


def _format_fields(fields: Sequence[FieldSignature]) -> list[str]:
    rows: list[tuple[str, ...]] = [
        (make_printable(field.name), field.type or "any", _format_values(field.values)) for field in fields
    ]
    return [f"  {line}" for line in format_table(rows)] if rows else []


def _format_values(values: Sequence[str]) -> str:
    shown = ", ".join(make_printable(abbreviate(value)) for value in values[:MOST_VALUES])
    return f"{shown}, … ({len(values):,} values)" if len(values) > MOST_VALUES else shown
