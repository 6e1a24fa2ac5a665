"""The functions that expressions can call, one module a family."""
