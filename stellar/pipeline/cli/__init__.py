"""The command stellar-pipeline: runs the pipeline of a sensor on lines, and checks configurations.

Each subcommand is a module here; see stellar.pipeline.command_line.
"""

from __future__ import annotations

from collections.abc import Sequence

from stellar.pipeline.command_line import Program

PROGRAM = Program(
    "stellar-pipeline",
    "Run and check pipelines configured by Metron's JSON files.",
    "stellar.pipeline.cli",
    {
        "run": "process lines with the pipeline of a sensor",
        "check": "check configurations and compile all their expressions",
        "explain": "show the effect of each stage on each record",
        "triage": "score records by the rules of threat triage, and explain the scores",
        "test": "run the tests beside a configuration",
        "worker": "process the messages of Kafka topics with pipelines, until it is stopped",
        "config": "push configurations to ZooKeeper, and pull, show and change them there",
        "alerts": "serve a web page with the alerts in a database, to annotate, escalate and close them",
        "topic": "create and list topics of Kafka, send lines to them, and print their messages",
        "template": "create the index templates of sensors in OpenSearch or Elasticsearch",
        "schema": "print the JSON Schema of a kind of configuration, for editors",
    },
    {"alerts": "stellar.web.alerts.command"},
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return PROGRAM.run(arguments)
