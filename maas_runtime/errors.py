"""Errors of deploying models."""

from __future__ import annotations


class DeployError(Exception):
    """A deployment request that is invalid or cannot be carried out; str() gives the reason and the fix."""
