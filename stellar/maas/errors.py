"""What can go wrong when a model is called.

MaasError
├─ ModelNotFound       no such model, or no such version of it, is registered    no such model, no model name
├─ ModelUnavailable    no instance could be reached                              refused, no instance, busy,
│  │                                                                             not allowed, quarantined, no endpoint
│  └─ ModelTimeOut     none answered in time                                     time-out
└─ ModelRefused        an instance answered, but not as a model does             bad reply
   └─ RecordRefused    it rejected the arguments: status 4xx                     bad request

On the right is `reason`, for programs.
"""

from __future__ import annotations

from typing import ClassVar, Literal

Reason = Literal[
    "no such model",
    "no model name",
    "no endpoint",
    "no instance",
    "time-out",
    "quarantined",
    "refused",
    "busy",
    "not allowed",
    "bad reply",
    "bad request",
]


class MaasError(Exception):
    """A call without an answer; str() is one sentence that names the model and the cause.

    reason: one of the fixed words of Reason
    url: the instance that was called last; None if none was
    details: the first bytes of the body of an error response, escaped; may hold what the record said
    summary: the sentence without these, for logs
    """

    default_reason: ClassVar[Reason] = "bad reply"

    def __init__(self, message: str, reason: Reason | None = None, details: str = "") -> None:
        super().__init__(f"{message}: {details}" if details else message)
        self.reason: Reason = reason or self.default_reason
        self.url: str | None = None
        self.details = details
        self.summary = message


class ModelNotFound(MaasError):
    """No such model, or no such version of it, is registered."""

    default_reason: ClassVar[Reason] = "no such model"


class ModelUnavailable(MaasError):
    """No instance could be reached in time."""

    default_reason: ClassVar[Reason] = "refused"


class ConnectionRefused(ModelUnavailable):
    """Nothing listens at the address of an instance, or there is no way to it; the request was not sent."""


class ConnectionLost(ModelUnavailable):
    """The connection to an instance ended before the response was complete."""


class RequestUnread(ConnectionLost):
    """The connection was reset before anything was received, so the instance has hardly read the request.

    That is what becomes of connections that wait to be accepted when a server ends, or stops listening.
    """


class InstanceBusy(ModelUnavailable):
    """An instance wants to be left alone for some seconds: status 429, or 503 with Retry-After."""

    default_reason: ClassVar[Reason] = "busy"

    def __init__(self, message: str, seconds: float, details: str = "") -> None:
        super().__init__(message, details=details)
        self.seconds = seconds


class ModelTimeOut(ModelUnavailable):
    """No answer came in time."""

    default_reason: ClassVar[Reason] = "time-out"


class ModelRefused(MaasError):
    """An instance answered, but not with status 200 and a JSON object."""


class RecordRefused(ModelRefused):
    """An instance rejected the arguments by a status of 4xx: another would do the same."""

    default_reason: ClassVar[Reason] = "bad request"
