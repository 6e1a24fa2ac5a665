"""Judging of rollouts: does a new version fail more calls than the instances that it replaces?

While a traffic plan has a version on trial, clients report the calls and failures of each instance (see
stellar.maas.reports). Metron's clients report nothing, and are not counted.

The share of calls. The first new instance gets 1 % of the calls without a version, and more as it responds: after n
calls of which f failed, (1 + n) / (1 + f) percent, at most as much as any other instance. If each call fails with a
probability p, the first n succeed with (1 - p)^n, so the expected share of calls that fail is at most

    (1 + n) p (1 - p)^n percent <= 1 percent, for each n and p.

The steps. Each new instance that gets ready begins a step. It passes

- if no client has reported within 5 seconds that it calls the model: there is nothing to judge;
- after 50 calls: of the new version for the first step, of the model since its beginning for a later one;
- after 60 seconds.

The rollout fails, in a step or between two, when the share of failed calls of the new instances exceeds that of the
others by more than the limit. One or two failures may be chance, so these are judged at the end of the 60 seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from stellar.maas.reports import ClientReport, InstanceCounts, Reports

STEP_CALLS, STEP_SECONDS = 50, 60.0
QUIET_SECONDS = 5.0
CERTAIN_FAILURES = 3
FIRST_SHARE = 0.01


@dataclass(frozen=True)
class NewInstances:
    """The new instances of a rollout.

    urls: of those that are ready; None if all instances of the version are new
    """

    name: str
    version: str
    urls: Collection[str] | None = None


@dataclass(frozen=True)
class Evidence:
    """The calls that clients have reported since the beginning of a rollout.

    new, old: calls of the new instances, and of all others of the model
    clients: number of clients that call the model
    """

    new: InstanceCounts = field(default_factory=InstanceCounts)
    old: InstanceCounts = field(default_factory=InstanceCounts)
    clients: int = 0

    @property
    def calls(self) -> int:
        return self.new.calls + self.old.calls

    @property
    def increase(self) -> float:
        """The share of failed calls of the new instances, minus that of the others."""
        return self.new.failure_rate - self.old.failure_rate

    def compute_weight(self, ready: int, others: int) -> float:
        """Return the weight of a new instance on trial in a traffic plan, if that of each of the others is 1.

        ready, others: numbers of new instances and of others, which get calls without a version
        """
        if not others:
            return 1.0
        ready = max(1, ready)
        share = min(ready / (ready + others), FIRST_SHARE * (1 + self.new.calls) / (1 + self.new.failures))
        return float(f"{share * others / ((1 - share) * ready):.2g}")  # rounded, so that the plan changes rarely


@dataclass(frozen=True)
class Verdict:
    """The outcome of judging a step. It goes on if it neither passed nor failed.

    failure: the reason to roll back, without its subject, which is the new version; empty without a failure
    """

    passed: bool = False
    failure: str = ""


@dataclass
class _Case:
    """The calls of a rollout, as this service has observed them; times are monotonic.

    seen: the last counts by client, version and URL, also of clients and instances that have ended
    ready: number of ready instances in the current step
    began, step_began: the beginning of the rollout, and of the step
    step_calls: calls of the model before the step
    """

    began: float
    seen: dict[tuple[str, str, str], tuple[bool, InstanceCounts]] = field(default_factory=dict)
    clients: set[str] = field(default_factory=set)
    ready: int = 0
    step_began: float = 0.0
    step_calls: int = 0


@dataclass
class Judge:
    """Judges rollouts by the reports of clients; see the module docstring.

    clock: monotonic time in seconds
    """

    reports: Reports
    clock: Callable[[], float]
    _cases: dict[str, _Case] = field(default_factory=dict, init=False)

    def observe(self, rollout: str, new: NewInstances) -> Evidence:
        """Return the calls reported so far. Raises OSError if the reports can't be read."""
        case = self._cases.setdefault(rollout, _Case(self.clock()))
        for client, report in self.reports.read().items():
            _add_report(case, rollout, new, client, report)
        counts = {is_new: InstanceCounts() for is_new in (True, False)}
        for is_new, each in case.seen.values():
            counts[is_new] += each
        return Evidence(counts[True], counts[False], len(case.clients))

    def judge(self, rollout: str, evidence: Evidence, ready: int, judged: int, max_increase: float) -> Verdict:
        """Judge the current step of a rollout that was observed.

        ready: number of new instances that are ready
        judged: number of those whose steps have passed
        max_increase: limit of the increase, from 0 to 1
        """
        case, now = self._cases[rollout], self.clock()
        if ready != case.ready:
            case.ready, case.step_began, case.step_calls = ready, now, evidence.calls
        is_over = ready > judged and now - case.step_began >= STEP_SECONDS
        is_worse = evidence.increase > max_increase
        if is_worse and (is_over or evidence.new.failures >= CERTAIN_FAILURES):
            return Verdict(failure=_explain(evidence, max_increase))
        if ready <= judged or is_over:
            return Verdict(passed=True)
        if not evidence.clients:
            return Verdict(passed=now - case.began >= QUIET_SECONDS)
        calls = evidence.calls - case.step_calls if judged else evidence.new.calls
        return Verdict(passed=calls >= STEP_CALLS and not is_worse)

    def forget(self, rollout: str) -> None:
        """Discard the observations of a rollout that has ended."""
        self._cases.pop(rollout, None)


def _add_report(case: _Case, rollout: str, new: NewInstances, client: str, report: ClientReport) -> None:
    model = report.models.get(new.name)
    if model is None or model.rollout != rollout:
        return
    case.clients.add(client)
    for version, instances in model.versions.items():
        for url, counts in instances.items():
            key = client, version, url
            was_new, known = case.seen.get(key, (False, InstanceCounts()))
            is_new = version == new.version and (new.urls is None or url in new.urls or was_new)
            if counts.calls >= known.calls:
                case.seen[key] = is_new, counts


def _explain(evidence: Evidence, max_increase: float) -> str:
    return (
        f"failed {_describe(evidence.new)}, and the previous instances {_describe(evidence.old)}; "
        f"the limit is {100 * max_increase:g} % more (--max-error-increase)"
    )


def _describe(counts: InstanceCounts) -> str:
    return f"{counts.failures:,} of {counts.calls:,} calls ({100 * counts.failure_rate:.3g} %)"
