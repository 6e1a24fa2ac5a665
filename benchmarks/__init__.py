"""Speed of the language beside its peers, printed as ratios: `python -m benchmarks`."""
