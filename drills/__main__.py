"""Run drills, and print their findings as a table."""

from __future__ import annotations

import argparse
import sys
import time

from drills import deployments, faults, forks, hosts, rollouts, scale, stream  # noqa: F401  (each module registers its drills)
from drills.drill import DEFAULT, DRILLS, Finding


def main() -> int:
    parser = argparse.ArgumentParser(
        "python -m drills", description="Timed and long drills of model calls and of streams."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"drills to run: {', '.join(DRILLS)}; by default all but soak"
    )
    names = parser.parse_args().names or DEFAULT
    if unknown := [name for name in names if name not in DRILLS]:
        parser.error(f"unknown drill {unknown[0]}; known are {', '.join(DRILLS)}")
    print("| drill | count | required | result |\n| --- | --- | --- | --- |")
    findings: list[Finding] = []
    for name in names:
        begin = time.monotonic()
        for finding in DRILLS[name]():
            findings.append(finding)
            print(finding.row(), flush=True)
        print(f"{name}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    return 0 if all(finding.met for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
