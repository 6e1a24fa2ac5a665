"""Errors of model calls.

MaasError
├─ ModelNotFound       the model, or this version of it, is not registered       no such model, no model name
├─ ModelUnavailable    no instance could be reached                              refused, no instance, busy,
│  │                                                                             not allowed, quarantined, no endpoint
│  └─ ModelTimeOut     no response in time                                       time-out
└─ ModelRefused        invalid response                                          bad reply
   └─ RecordRefused    the arguments were rejected: status 4xx                   bad request, declined (422)

The column on the right lists the values of `reason`, for programs.
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
    "declined",
]


class MaasError(Exception):
    """A failed call; str() is one sentence that names the model and the cause.

    reason: one of the constants of Reason
    url: the instance that was called last; None if no instance was called
    details: the first bytes of the body of an error response, escaped; may contain values of the record
    summary: the message without `details`, for logs
    """

    default_reason: ClassVar[Reason] = "bad reply"

    def __init__(self, message: str, reason: Reason | None = None, details: str = "") -> None:
        super().__init__(f"{message}: {details}" if details else message)
        self.reason: Reason = reason or self.default_reason
        self.url: str | None = None
        self.details = details
        self.summary = message


class ModelNotFound(MaasError):
    """The model, or this version of it, is not registered."""

    default_reason: ClassVar[Reason] = "no such model"


class ModelUnavailable(MaasError):
    """No instance could be reached in time."""

    default_reason: ClassVar[Reason] = "refused"


class ConnectionRefused(ModelUnavailable):
    """The connection to an instance was refused, or there is no route to its host; the request was not sent."""


class ConnectionLost(ModelUnavailable):
    """The connection to an instance ended before the response was complete."""


class RequestUnread(ConnectionLost):
    """The connection was reset before anything was received, so the instance has probably not read the request.

    This happens to connections in the accept queue when a server exits or stops listening.
    """


class InstanceBusy(ModelUnavailable):
    """An instance accepts no requests for some seconds: status 429, or 503 with Retry-After.

    seconds: until it may be called again
    """

    default_reason: ClassVar[Reason] = "busy"

    def __init__(self, message: str, seconds: float, details: str = "") -> None:
        super().__init__(message, details=details)
        self.seconds = seconds


class ModelTimeOut(ModelUnavailable):
    """No response arrived in time."""

    default_reason: ClassVar[Reason] = "time-out"


class ModelRefused(MaasError):
    """An instance responded, but not with status 200 and a JSON object."""


class RecordRefused(ModelRefused):
    """An instance rejected the arguments with status 4xx, as every other instance would."""

    default_reason: ClassVar[Reason] = "bad request"
