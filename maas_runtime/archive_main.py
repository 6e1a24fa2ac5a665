"""The entry point of the archive: it runs what the first argument names."""

from __future__ import annotations

import sys
from pathlib import Path

from maas_runtime.archive import NAME


def main(argv: list[str]) -> int:
    """Run `container`, `service` or a command `maas …`. Return the exit status.

    Each is imported on its own: a container starts without loading the command line, which every model waits for.
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

        return command.main(cluster.arguments(Path.cwd()))
    print(f"{NAME} runs: maas …, container, or service; not {' '.join(argv[:1]) or 'nothing'}", file=sys.stderr)
    return 1
