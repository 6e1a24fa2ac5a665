"""Drills of instances that are killed, hang, pause, are slow or send stray bytes, and of a resolver that hangs."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from drills.calls import Timed, client_of, records, stream
from drills.drill import Finding, drill
from drills.models import Model, models
from drills.processors import ThreadTimes

SECOND = 1.0


def _later(seconds: float, *actions: Callable[[], object]) -> threading.Timer:
    def act() -> None:
        for each in actions:
            each()

    timer = threading.Timer(seconds, act)
    timer.start()
    return timer


@drill("stray")
def send_stray_bytes() -> Iterator[Finding]:
    """Call a model 10,000 times that sends unsolicited bytes."""
    with (
        models(1, "faulty") as (model,),
        client_of([model.url], retries=0, wait_ms=0, breaker_failures=1000) as (context, *_),
    ):
        calls = stream(context, records(10_000), in_flight=8)
    result = f"{calls.wrong} wrong ({calls.null:,} null, from responses that were cut off)"
    yield Finding("a model that sends stray bytes", f"{calls.count:,} calls", "0 wrong", result, not calls.wrong)


@drill("killed")
def kill_two() -> Iterator[Finding]:
    """Kill two of three instances at the same time, under full load."""
    null = count = 0
    for _ in range(3):
        with models(3, seconds=0.002) as three, client_of([each.url for each in three]) as (context, *_):
            timer = _later(2, *(lambda each=each: each.signal(signal.SIGKILL) for each in three[:2]))
            calls = stream(context, records(1_000_000), seconds=4)
            timer.join()
            null, count = null + calls.null + calls.wrong, count + calls.count
    yield Finding(
        "two of three instances killed at once", f"{count:,} calls in 3 runs", "0 null", f"{null} null", not null
    )


@drill("hang")
def hang() -> Iterator[Finding]:
    """Stop one of three instances under full load; three runs, and one without a fault for comparison."""
    for run in range(4):
        with models(3, seconds=0.002) as three, client_of([each.url for each in three]) as (context, *_):
            timer = _later(5.5, (lambda: three[0].signal(signal.SIGSTOP)) if run else (lambda: None))
            longest = _LatencyMeter(context)
            with ThreadTimes("stellar") as times:
                calls = longest.stream(12)
            timer.join()
            three[0].signal(signal.SIGCONT)
        rates = calls.rates()
        normal = sorted(rates[1:5])[2]
        after = [rate / normal for rate in rates[5:]]
        slow, worst = sum(share < 0.8 for share in after), min(after)
        client = times.second(5 + after.index(worst))
        met = slow <= 1 and worst >= 0.5 and longest.seconds <= 0.5
        yield Finding(
            f"one of three instances hangs at full load, run {run}" if run else "the same load without a fault",
            f"{calls.count:,} calls in 12 s",
            "0 null; at most 1 s below 80 % of the normal rate, none below 50 %; longest call ≤ 500 ms" if run else "",
            f"{calls.null + calls.wrong} null; {slow} s below 80 %, worst second {worst:.0%} (client: {client}); "
            f"longest call {longest.seconds * 1000:.0f} ms",
            not run or (met and calls.null + calls.wrong == 0),
        )


class _LatencyMeter:
    """A stream of calls that measures the longest call."""

    def __init__(self, context: Any) -> None:
        from stellar.maas import ModelClient

        self._context = context
        self.seconds = 0.0
        client = context[ModelClient]
        self._apply = client.apply
        client.apply = self.apply

    def apply(self, *arguments: Any) -> Any:
        begin = time.monotonic()
        try:
            return self._apply(*arguments)
        finally:
            self.seconds = max(self.seconds, time.monotonic() - begin)

    def stream(self, seconds: float) -> Any:
        return stream(self._context, records(10_000_000), seconds=seconds)


@drill("pause")
def pause() -> Iterator[Finding]:
    """Stop one of three instances for 3 seconds, and measure when it gets calls again."""
    with models(3, seconds=0.002) as three, client_of([each.url for each in three]) as (context, *_):
        begin = time.monotonic()
        timers = [
            _later(2, lambda: three[0].signal(signal.SIGSTOP)),
            _later(5, lambda: three[0].signal(signal.SIGCONT)),
        ]
        null, returned = 0, 0.0
        while not returned and time.monotonic() - begin < 20:
            calls = stream(context, records(1_000_000), seconds=0.25)
            null += calls.null + calls.wrong
            now = time.monotonic() - begin
            if now > 5 and calls.instances[three[0].process.pid] > calls.count / 6:
                returned = now - 5
        for timer in timers:
            timer.join()
    result = f"{null} null; traffic returned after {returned:.1f} s"
    yield Finding(
        "one of three instances pauses for 3 s", "1 run", "0 null; within 10 s", result, not null and 0 < returned <= 10
    )


@drill("resolver")
def hang_resolver() -> Iterator[Finding]:
    """Call hosts whose names are never resolved, with a deadline of 1 s, from 32 threads."""
    real, released = socket.getaddrinfo, threading.Event()
    socket.getaddrinfo = lambda *_, **__: released.wait(60) or []  # type: ignore[assignment]
    try:
        urls = [f"http://model{number}.invalid:80" for number in range(3)]
        with client_of(urls, deadline_ms=1000, connect_timeout_ms=5000, breaker_failures=1000) as (context, *_):
            timed = Timed(context)
            with ThreadPoolExecutor(32) as pool:
                list(pool.map(timed.call, map(str, range(1000))))
    finally:
        socket.getaddrinfo = real
        released.set()
    over = sorted(seconds - SECOND for seconds in timed.seconds)
    late = sum(each > 0.05 for each in over)
    yield Finding(
        "a resolver that hangs, deadline 1 s",
        f"{len(over):,} calls",
        "99.9 % within the deadline + 50 ms, all within + 250 ms",
        f"{100 - late / len(over) * 100:.1f} % within + 50 ms, the last at + {over[-1] * 1000:.0f} ms",
        late <= len(over) / 1000 and over[-1] <= 0.25,
    )


@drill("healthy")
def run_healthy() -> Iterator[Finding]:
    """Call three healthy instances 1,000 times a second for a minute."""
    with models(3, seconds=0.002) as three, client_of([each.url for each in three]) as (context, client, _):

        def pace() -> Iterator[dict[str, Any]]:
            begin = time.monotonic()
            for number, record in enumerate(records(60_000)):
                if (early := begin + number / 1000 - time.monotonic()) > 0:
                    time.sleep(early)
                yield record

        calls = stream(context, pace())
        counters = client.counters()
    yield Finding(
        "three healthy instances, 1,000 calls/s",
        f"{calls.count:,} calls",
        "no circuit opens, 0 null, at most 5 % hedged",
        f"{counters.quarantined} opened, {calls.null + calls.wrong} null, {counters.hedged / calls.count:.1%} hedged",
        not counters.quarantined and not calls.null + calls.wrong and counters.hedged <= 100 + calls.count * 0.05,
    )


@drill("saturated")
def saturate() -> Iterator[Finding]:
    """Call two single-threaded models of 100 ms from more and more callers, with hedging and without."""
    timeouts = {True: 0, False: 0}
    count = 0
    for callers in (10, 20, 40, 60):
        for hedging in (True, False):
            settings: dict[str, Any] = {} if hedging else {"hedge_ms": 0}
            with (
                models(2, "one by one", 0.1) as two,
                client_of([each.url for each in two], **settings) as (context, *_),
            ):
                timed = Timed(context)
                with ThreadPoolExecutor(callers) as pool:
                    list(pool.map(timed.call, map(str, range(200))))
                timeouts[hedging] += timed.calls.null
                count += timed.calls.count
    yield Finding(
        "two single-threaded models of 100 ms, 10 to 60 callers",
        f"{count:,} calls",
        "no more time-outs than without hedging",
        f"{timeouts[True]} with, {timeouts[False]} without",
        timeouts[True] <= timeouts[False],
    )


@drill("slow")
def slow_down() -> Iterator[Finding]:
    """Use `least-busy` with one instance that is ten times slower than the two others."""
    with models(2, seconds=0.004) as quick, models(1, seconds=0.04) as (other,):
        urls = [each.url for each in (*quick, other)]
        with client_of(urls, choice="least-busy", hedge_ms=0) as (context, *_):
            stream(context, records(5_000), in_flight=32)
            calls = stream(context, records(20_000), in_flight=32)
    share = calls.instances[other.process.pid] / calls.count
    yield Finding(
        "least-busy, one of three instances ten times slower",
        f"{calls.count:,} calls",
        "less than a tenth of the calls",
        f"{share:.1%}",
        share < 0.1,
    )


@drill("between")
def listen_between_calls() -> Iterator[Finding]:
    """Call a model that listens only between two calls, like `nc -l` in a loop."""
    model = Model("between calls", 0.02)
    try:
        with client_of([model.url]) as (context, *_):
            calls = stream(context, records(200), in_flight=4)
    finally:
        model.close()
    result = f"{calls.null} null, {calls.wrong} wrong"
    yield Finding(
        "a model that listens only between two calls",
        f"{calls.count} calls",
        "0 null",
        result,
        not calls.null + calls.wrong,
    )
