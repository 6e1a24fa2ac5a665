"""Calls of an instance with its samples. The requests are those of a model client, byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from math import inf
from time import monotonic, sleep
from typing import Any

from maas_runtime.runner.samples import Sample, find_difference
from maas_runtime.runner.transport import open_transport
from stellar.maas.client.decoding import decode_one
from stellar.maas.client.encoding import encode_query, function_path
from stellar.maas.errors import ConnectionRefused, InstanceBusy, MaasError, ModelTimeOut, RequestUnread
from stellar.maas.schema import ModelEndpoint
from stellar.maas.transport.base import Response, Timeouts
from stellar.maas.transport.http import HttpTransport
from stellar.net.http import without_query

MAX_RESPONSE_BYTES = 1 << 20  # the default of clients
CONNECT_SECONDS = 1.0
CHECK_SECONDS = 0.25  # between checks of the instance while a response is awaited
RETRY_SECONDS = 0.1


class SampleFailed(Exception):
    """The response to a sample is not as expected; str() names the sample and the difference."""


def check_samples(
    samples: Sequence[Sample], endpoint: ModelEndpoint, deadline: float, check_running: Callable[[str], None]
) -> None:
    """Send the samples to an instance, one by one, and compare the results.

    deadline: monotonic time
    check_running: called with the origin of a sample while its response is awaited; raises an exception to give up

    Raises SampleFailed for the first response that is not as expected.
    """
    with closing(open_transport(endpoint.url, Timeouts(CONNECT_SECONDS, inf, MAX_RESPONSE_BYTES))) as transport:
        for sample in samples:
            check_running(sample.origin)
            try:
                result = _call(transport, endpoint, sample, deadline, partial(check_running, sample.origin))
            except MaasError as error:
                raise SampleFailed(f"{sample.origin}: {error}") from None
            if difference := find_difference(sample.result or {}, result):
                raise SampleFailed(f"{sample.origin}: {difference}")


def _call(
    transport: HttpTransport,
    endpoint: ModelEndpoint,
    sample: Sample,
    deadline: float,
    check_running: Callable[[], None],
) -> dict[str, Any]:
    """Return the response of an instance; one that does not accept the request yet is called again."""
    path = function_path(endpoint.as_map(), None)
    url = f"{endpoint.url.removesuffix('/')}/{path}?{encode_query(sample.arguments)}"
    while True:
        try:
            (decoded,) = decode_one(url, _receive(transport, url, deadline, check_running))
        except (ConnectionRefused, InstanceBusy, RequestUnread):
            if monotonic() > deadline:
                raise
            check_running()
            sleep(RETRY_SECONDS)
        else:
            return decoded.result


def _receive(transport: HttpTransport, url: str, deadline: float, check_running: Callable[[], None]) -> Response:
    with closing(transport.begin(url)) as exchange:
        while True:
            try:
                return exchange.run(min(deadline, monotonic() + CHECK_SECONDS))
            except TimeoutError:
                if monotonic() >= deadline:
                    raise ModelTimeOut(
                        f"{without_query(url)} did not respond before the time to start was over"
                    ) from None
            check_running()
