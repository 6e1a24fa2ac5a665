"""What can go wrong when a model is deployed."""

from __future__ import annotations


class DeployError(Exception):
    """A deployment that can't be done as asked; str() says why, and what to do about it."""
