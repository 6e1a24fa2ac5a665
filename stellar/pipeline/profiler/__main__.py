"""`python -m stellar.pipeline.profiler` is the command stellar-profiler."""

from stellar.pipeline.profiler.cli import main

raise SystemExit(main())
