"""What can go wrong when a model is asked.

MaasError
├─ ModelNotFound       no such model, or no such version of it, is registered    no such model
├─ ModelUnavailable    no instance could be reached                              refused, not allowed, or quarantined
│  └─ ModelTimeOut     none answered in time                                     time-out
└─ ModelRefused        an instance answered, but not as a model does             bad reply
   └─ RecordRefused    it found fault with what it was asked: status 4xx         bad request

On the right is `reason`, for programs.
"""

from __future__ import annotations

from typing import ClassVar, Literal

Reason = Literal["no such model", "time-out", "quarantined", "refused", "not allowed", "bad reply", "bad request"]


class MaasError(Exception):
    """A model that gave no answer; str() is one sentence that says which, and why.

    reason: why, in one of the fixed words of Reason
    url: which instance was asked last; None if none was
    """

    default_reason: ClassVar[Reason] = "bad reply"

    def __init__(self, message: str, reason: Reason | None = None) -> None:
        super().__init__(message)
        self.reason: Reason = reason or self.default_reason
        self.url: str | None = None


class ModelNotFound(MaasError):
    """No such model, or no such version of it, is registered."""

    default_reason: ClassVar[Reason] = "no such model"


class ModelUnavailable(MaasError):
    """No instance could be reached in time."""

    default_reason: ClassVar[Reason] = "refused"


class ModelTimeOut(ModelUnavailable):
    """No answer came in time."""

    default_reason: ClassVar[Reason] = "time-out"


class ModelRefused(MaasError):
    """An instance answered, but not with status 200 and a JSON object."""


class RecordRefused(ModelRefused):
    """An instance found fault with what it was asked, by a status of 4xx: another would do the same."""

    default_reason: ClassVar[Reason] = "bad request"
