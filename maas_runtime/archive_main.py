"""The entry point of the archive."""

from __future__ import annotations

import sys
from pathlib import Path

from maas_runtime.archive import NAME


def main(argv: list[str]) -> int:
    """Run `container`, `service` or a command `maas …`. Return the exit status.

    Each is imported on demand: a container does not load the command line, which would delay the start of every model.
    """
    if argv[:1] == ["container"]:
        from maas_runtime.deployers.yarn import container

        return container.main()
    if argv[:1] == ["maas"]:
        from maas_runtime.cli import main as command

        return command.main(argv[1:])
    if argv[:1] == ["service"]:
        from maas_runtime.cli import main as command
        from maas_runtime.deployers.yarn import cluster

        return command.main(cluster.read_arguments(Path.cwd()))
    print(f"{NAME}: expected maas …, container or service, got {' '.join(argv[:1]) or 'no argument'}", file=sys.stderr)
    return 1
