"""What can go wrong when a model is asked.

MaasError
├─ ModelNotFound       no such model, or no such version of it, is registered
├─ ModelUnavailable    no instance could be reached in time
└─ ModelRefused        an instance answered, but not with status 200 and a JSON object
"""

from __future__ import annotations


class MaasError(Exception):
    """A model that gave no answer; str() is one sentence that says which, and why."""


class ModelNotFound(MaasError):
    """No such model, or no such version of it, is registered."""


class ModelUnavailable(MaasError):
    """No instance could be reached in time."""


class ModelRefused(MaasError):
    """An instance answered, but not with status 200 and a JSON object."""
