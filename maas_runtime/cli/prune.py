"""maas prune: remove copies of models' files that nothing needs any more."""

from __future__ import annotations

import argparse

from maas_runtime.cli.common import add_registry_options, open_backend
from maas_runtime.service.prune import RECENT_SECONDS, find_unused
from maas_runtime.store import options as stores

EXAMPLES = """examples:
  maas prune --dry-run
  maas prune -zq node1:2181 --store hdfs://node1:8020
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    add_registry_options(parser, contents="the model store")
    stores.add_store_options(parser)
    parser.add_argument("--dry-run", action="store_true", help="print what would be removed")


def run(args: argparse.Namespace) -> int:
    """Remove the copies that no desired state, instance, rollout or waiting request names, and that are old enough."""
    with stores.model_store(args) as store, open_backend(args) as backend:
        unused = find_unused(backend.state_store, backend.queue, store)
        total = len(store.contents())
        args.out.write(removed=[], dry_run=args.dry_run)
        for content in unused:
            if not args.dry_run:
                store.remove_content(content.path)
            args.out.append("removed", content.path, f"{content.path}: {'unused' if args.dry_run else 'removed'}")
    verb = "would be removed" if args.dry_run else "removed"
    args.out.write(
        f"{len(unused)} of {total} copies {verb}; those of the last {RECENT_SECONDS / 60:.0f} minutes stay",
        copies=total,
    )
    return 0
