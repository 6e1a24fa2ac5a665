"""Errors of serving models that are data."""

from __future__ import annotations


class ServingError(ValueError):
    """A folder or file that cannot be served as a model; str() gives the reason and the fix."""
