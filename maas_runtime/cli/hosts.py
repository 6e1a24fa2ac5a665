"""maas hosts: the hosts that run instances, and what they offer."""

from __future__ import annotations

import argparse
from collections import defaultdict

from maas_runtime.cli.common import add_registry_options, open_backend
from maas_runtime.cli.output import format_table
from maas_runtime.deployers.assigning import Host, read_hosts
from maas_runtime.state.assignments import Assignment, AssignmentStore

EXAMPLES = """examples:
  maas hosts
  maas hosts -zq node1:2181 --output json
"""
HEADINGS = ("host", "instances", "memory free", "memory offered", "GPUs free", "GPUs offered", "agent")


def add_options(parser: argparse.ArgumentParser) -> None:
    add_registry_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print the hosts whose agents live, and those that are gone but have instances assigned."""
    with open_backend(args) as backend:
        hosts = read_hosts(backend.state_store)
        assigned = defaultdict[str, list[Assignment]](list)
        with AssignmentStore(backend.state_store) as stored:
            for assignment in stored.read():
                if not assignment.ended:
                    assigned[assignment.owner].append(assignment)
    rows = [_describe(host, assigned.get(host.id, [])) for _, host in sorted(hosts.items())]
    gone = [{"agent": id, "instances": len(assigned[id]), "lives": False} for id in sorted(assigned.keys() - hosts)]
    args.out.write(hosts=[*rows, *gone])
    args.out.write(*format_table([HEADINGS, *(_format(row) for row in rows)]) if rows else ["no host runs instances"])
    for each in gone:
        args.out.write(f"{each['agent']}: gone, with {each['instances']} instances assigned")
    return 0


def _describe(host: Host, assigned: list[Assignment]) -> dict[str, object]:
    used = {device for each in assigned for device in each.devices}
    return {
        "host": host.name,
        "agent": host.id,
        "instances": len(assigned),
        "memory_offered_mb": host.memory,
        "memory_free_mb": host.memory - sum(each.memory for each in assigned),
        "gpus_offered": list(host.devices),
        "gpus_free": [device for device in host.devices if device not in used],
        "lives": True,
    }


def _format(row: dict[str, object]) -> tuple[str, ...]:
    free, offered = row["gpus_free"], row["gpus_offered"]
    assert isinstance(free, list)
    assert isinstance(offered, list)
    return (
        str(row["host"]),
        str(row["instances"]),
        f"{row['memory_free_mb']:,} MB",
        f"{row['memory_offered_mb']:,} MB",
        str(len(free)),
        str(len(offered)),
        str(row["agent"]),
    )
