"""Health: samples and a policy in, a verdict out. Pure: no clock, no network, no Airflow.

TensorFlow Serving's request metrics carry no version. Where the canary has pods of its own, their
version label tells its series apart. With `strategy: in_place` stable and canary share one server,
so Prometheus judges the model as a whole in the window, and much traffic to stable can hide a bad
canary. That is why the probe's own figures, which belong to the canary alone, are held to the same
limits: its requests and errors always, its latencies where the server's own would not show them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from slipway.contracts import Contract
from slipway.rollout.checks import (
    ERROR_INCREASE,
    PROBE_REQUESTS,
    PROBE_STARTED_AT,
    REQUESTS,
    Check,
    Verdict,
    checks,
    probe_checks,
)
from slipway.rollout.proving import by_difference, by_test, not_scraped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slipway.rollout.subject import Subject
    from slipway.spec.health import HealthPolicy

NO_SAMPLES: Mapping[str, float | None] = {}

# The first of these that any check has is the verdict of a look.
_WORST_FIRST: tuple[Verdict, ...] = ("unhealthy", "error", "inconclusive", "healthy")
_FINAL: frozenset[Verdict] = frozenset({"healthy", "unhealthy"})

# Of the requests in the window at least so many must be the probe's, else its own figures count.
_PROBE_SHARE = 0.5


class CheckResult(Contract):
    """A check, judged.

    Attributes:
        check: What was asked, and the limits.
        value: What was found; None if there was no number.
        verdict: What that means.
        reason: One sentence, with the value and the limit.
    """

    check: Check
    value: float | None
    verdict: Verdict
    reason: str


class Look(Contract):
    """One look at all checks.

    Attributes:
        at: Unix time in seconds.
        verdict: The worst of the checks'.
        values: Value by name of the check.
    """

    at: float
    verdict: Verdict
    values: dict[str, float | None]


class Decision(Contract):
    """How a rollout was judged: the evidence that is kept.

    Attributes:
        verdict: What it came to.
        reasons: Why, one sentence each; for healthy, what was proven.
        results: Every check of the last look, with query, value and limits.
        looks: All looks.
        started_at: When judging began, Unix time in seconds.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    results: tuple[CheckResult, ...]
    looks: tuple[Look, ...]
    started_at: float


class JudgeState(Contract):
    """What a judge must not forget between two looks.

    Attributes:
        started_at: When judging began, Unix time in seconds.
        looks: All looks so far.
    """

    started_at: float
    looks: tuple[Look, ...] = ()


def judge_check(
    check: Check,
    value: float | None,
    *,
    enough: bool = True,
    requests: float = 0.0,
    samples: Mapping[str, float | None] = NO_SAMPLES,
) -> CheckResult:
    """Judge one figure.

    Args:
        check: What was asked, and the limits.
        value: The number; None if the series is absent.
        enough: Whether enough requests stand behind it.
        requests: How many stand behind it.
        samples: The other figures of the look, for a figure that is judged beside them.
    """
    if value is None or not math.isfinite(value):
        what = "no such series" if value is None else f"no number but {value}"
        reason = f"{check.name}: {what}"
        return CheckResult(check=check, value=None, verdict="inconclusive", reason=reason)
    verdict, relation = _against_limits(check, value)
    if check.caught is not None:
        verdict, relation = by_test(check, value, requests)
    elif check.name == ERROR_INCREASE:
        verdict, relation = by_difference(check, value, samples)
    if not enough:
        verdict, relation = "inconclusive", f"from too few requests; {relation}"
    reason = f"{check.name} is {value:.6g}, {relation}"
    return CheckResult(check=check, value=value, verdict=verdict, reason=reason)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of several; of none, inconclusive."""
    found = set(verdicts)
    return next((verdict for verdict in _WORST_FIRST if verdict in found), "inconclusive")


class Judge:
    """Looks again and again until a verdict is final.

    A verdict is final once `policy.consecutive` looks in a row were healthy, or unhealthy. At
    `policy.timeout_seconds` the last look decides; if it is healthy but not yet often enough in a
    row, that is inconclusive. Too little traffic and an unreachable Prometheus may pass, so they
    are final only then.

    Poking, rescheduled and deferred callers come to the same decision from the same looks: all
    that a judge remembers is in `state`.

    Args:
        policy: Checks and patience.
        subject: Whom to judge.
        state: Where judging stands; a fresh `JudgeState(started_at=now)` to begin.
        probe: Metrics of the step `probe`; None leaves its checks out.
    """

    def __init__(
        self,
        policy: HealthPolicy,
        subject: Subject,
        *,
        state: JudgeState,
        probe: Mapping[str, float] | None = None,
    ) -> None:
        self.policy = policy
        self.state = state
        self._subject = subject
        self._probe = probe

    def queries(self, at: float) -> dict[str, str]:
        """The PromQL to ask for the look at that time, by the name of the check."""
        asked = self._checks(at)
        return {check.name: check.promql for check in asked if check.promql is not None}

    def observe(self, samples: Mapping[str, float | None], at: float) -> Decision | None:
        """Take one look.

        Args:
            samples: Value by the name of the check; None or nothing where a series is absent.
            at: Unix time in seconds.

        Returns:
            The decision, once it is final.
        """
        results = self._explained(_judge_all(self._checks(at), samples))
        if self._probe is not None:
            asked = probe_checks(self.policy, latency=not self._server_shows(samples, at))
            results += _judge_all(asked, self._probe)
        return self._remember(results, at)

    def fail(self, reason: str, at: float) -> Decision | None:
        """Take a look that showed nothing, because Prometheus could not be asked.

        Args:
            reason: Why, one sentence.
            at: Unix time in seconds.

        Returns:
            The decision, once it is final.
        """
        results = tuple(
            CheckResult(check=check, value=None, verdict="error", reason=reason)
            for check in self._checks(at)
        )
        return self._remember(results, at)

    def _explained(self, results: tuple[CheckResult, ...]) -> tuple[CheckResult, ...]:
        """The same, with what it means if the probe asked and Prometheus knows nothing of it."""
        sent, requests = (self._probe or {}).get(PROBE_REQUESTS, 0), results[0]
        if requests.value is not None or not sent:
            return results
        reason = not_scraped(self._subject, sent)
        return (requests.model_copy(update={"reason": reason}), *results[1:])

    def _checks(self, at: float) -> tuple[Check, ...]:
        return checks(self.policy, self._subject, at)

    def _server_shows(self, samples: Mapping[str, float | None], at: float) -> bool:
        """Whether the window holds the whole probe and too little else to hide a slow canary.

        A quantile is that of the slow requests only if the others are fewer than it leaves aside.
        """
        probe = self._probe or {}
        requests = samples.get(REQUESTS)
        if not requests:
            return False
        share = probe.get(PROBE_REQUESTS, 0) / requests
        lowest = min((each.percentile for each in self.policy.checks.latency), default=100.0)
        return (
            share >= _PROBE_SHARE
            and share > 1 - lowest / 100
            and probe.get(PROBE_STARTED_AT, 0) >= at - self.policy.window_seconds
        )

    def _remember(self, results: tuple[CheckResult, ...], at: float) -> Decision | None:
        verdict = worst(result.verdict for result in results)
        values = {result.check.name: result.value for result in results}
        look = Look(at=at, verdict=verdict, values=values)
        self.state = JudgeState(started_at=self.state.started_at, looks=(*self.state.looks, look))
        row = self.state.looks[-self.policy.consecutive :]
        lasted = len(row) == self.policy.consecutive and {each.verdict for each in row} == {verdict}
        if lasted and verdict in _FINAL:
            return self._decide(verdict, results, lasted=True)
        if at - self.state.started_at >= self._patience(verdict):
            final = "inconclusive" if verdict == "healthy" else verdict
            return self._decide(final, results, lasted=False)
        return None

    def _patience(self, verdict: Verdict) -> float:
        waits = {
            "inconclusive": self.policy.on_inconclusive,
            "healthy": self.policy.on_inconclusive,
            "error": self.policy.on_error,
        }
        return self.policy.timeout_seconds * (2 if waits.get(verdict) == "wait" else 1)

    def _decide(
        self, verdict: Verdict, results: tuple[CheckResult, ...], *, lasted: bool
    ) -> Decision:
        found = worst(result.verdict for result in results)
        reasons = dict.fromkeys(result.reason for result in results if result.verdict == found)
        if found == "healthy" and not lasted:
            late = (
                f"healthy, but not {self.policy.consecutive} times in a row within "
                f"{self.policy.timeout_seconds} s"
            )
            reasons = {late: None}
        return Decision(
            verdict=verdict,
            reasons=tuple(reasons),
            results=results,
            looks=self.state.looks,
            started_at=self.state.started_at,
        )


def _judge_all(
    asked: tuple[Check, ...], samples: Mapping[str, float | None]
) -> tuple[CheckResult, ...]:
    found: dict[str, CheckResult] = {}
    for check in asked:
        counted = found.get(check.counted_by or "")
        enough = counted is None or counted.verdict == "healthy"
        found[check.name] = judge_check(
            check,
            samples.get(check.name),
            enough=enough,
            requests=(counted.value if counted else None) or 0.0,
            samples=samples,
        )
    return tuple(found.values())


def _against_limits(check: Check, value: float) -> tuple[Verdict, str]:
    if check.largest is not None and value > check.largest:
        return check.beyond, f"more than the largest allowed, {check.largest:g}"
    if check.smallest is not None and value < check.smallest:
        return check.beyond, f"less than the smallest allowed, {check.smallest:g}"
    limits: dict[str, Any] = {"at most": check.largest, "at least": check.smallest}
    return "healthy", " and ".join(
        f"{word} {limit:g}" for word, limit in limits.items() if limit is not None
    )
