"""The runner: starts one instance of a model, waits for readiness, registers and monitors it, and ends it."""
