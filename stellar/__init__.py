"""Stellar: a small expression language for telemetry pipelines, compiled to Python."""
