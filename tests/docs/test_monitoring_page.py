"""The page about metrics has the metrics of the code, and its alerts are valid for Prometheus."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("scripts", reason="generators are in the checkout, not in the wheel")

from scripts.metrics import PAGE, TABLES, render

ALERTS = Path(__file__).parents[2] / "examples" / "monitoring" / "alerts.yml"
SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
METRICS = [metric for metrics in TABLES.values() for metric in metrics]
SERIES = {f"{metric.name}{suffix}" for metric in METRICS for suffix in SUFFIXES[metric.kind]}

# Series every minute, and the alerts that fire after 15 minutes
CASES = """
rule_files: [{alerts}]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'stellar_pipeline_records_total{{pipeline="squid",outcome="out"}}'
        values: '0+90x20'
      - series: 'stellar_pipeline_records_total{{pipeline="squid",outcome="rejected"}}'
        values: '0+10x20'
      - series: 'stellar_pipeline_lag_messages{{topic="squid",partition="0"}}'
        values: '20000+100x20'
      - series: 'stellar_model_calls_total{{model="dga",version="1.0",outcome="ok"}}'
        values: '0+1000x20'
      - series: 'stellar_model_calls_total{{model="dga",version="1.0",outcome="time-out"}}'
        values: '0+5x20'
      - series: 'stellar_service_desired_instances{{model="dga",version="1.0"}}'
        values: '2x20'
      - series: 'stellar_service_ready_instances{{model="dga",version="1.0"}}'
        values: '1x20'
      - series: 'stellar_service_leading{{instance="node1"}}'
        values: '0x20'
    alert_rule_test:
      - alertname: StellarRecordsRejected
        eval_time: 15m
        exp_alerts:
          - exp_labels: {{pipeline: squid}}
            exp_annotations: {{summary: "10% of the records of squid are rejected"}}
      - alertname: StellarLagGrows
        eval_time: 20m
        exp_alerts:
          - exp_labels: {{topic: squid}}
            exp_annotations: {{summary: "22000 messages of squid wait, and become more; start more workers"}}
      - alertname: StellarModelFails
        eval_time: 15m
        exp_alerts: []
      - alertname: StellarInstancesMissing
        eval_time: 15m
        exp_alerts:
          - exp_labels: {{model: dga, version: "1.0"}}
            exp_annotations: {{summary: "1 instances of dga 1.0 are missing; see maas status"}}
      - alertname: StellarNoLeader
        eval_time: 15m
        exp_alerts:
          - exp_annotations:
              summary: "no service leads, so requests wait and failed instances are not replaced"
"""


def test_the_tables_of_metrics_are_fresh() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert render(text) == text, "run: python -m scripts.metrics"
    assert text.count("| metric | kind |") == len(TABLES)


def test_names_of_metrics_are_unique() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_no_label_has_the_name_of_one_that_prometheus_adds() -> None:
    assert not [metric.name for metric in METRICS if {"instance", "job", "le", "quantile"} & set(metric.labels)]


def test_the_alerts_use_existing_metrics() -> None:
    used = set(re.findall(r"stellar_\w+", ALERTS.read_text(encoding="utf-8")))
    assert used <= SERIES


def test_the_alerts_are_valid_for_prometheus(need: Callable[..., None]) -> None:
    need("promtool")
    done = subprocess.run(["promtool", "check", "rules", ALERTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alerts_fire_when_they_should(need: Callable[..., None], tmp_path: Path) -> None:
    need("promtool")
    cases = tmp_path / "cases.yml"
    cases.write_text(CASES.format(alerts=ALERTS))
    done = subprocess.run(["promtool", "test", "rules", cases], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
