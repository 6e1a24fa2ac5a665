"""Benchmarks of the language and the library, with peers for comparison: `python -m benchmarks`."""
