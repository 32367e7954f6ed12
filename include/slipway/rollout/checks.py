"""From a policy to the figures that decide, each with its query and its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from slipway.contracts import Contract
from slipway.kubernetes.names import version_service
from slipway.rollout import promql, promql_triton

if TYPE_CHECKING:
    from slipway.rollout.subject import Subject
    from slipway.spec.health import HealthChecks, HealthPolicy, LatencyCheck

Verdict = Literal["healthy", "unhealthy", "inconclusive", "error"]

REQUESTS = "requests"
ERROR_RATIO = "error_ratio"
ERROR_INCREASE = "error_ratio_increase"
STABLE_REQUESTS = "stable_requests"
PROBE_REQUESTS = "probe_requests"
PROBE_STARTED_AT = "probe_started_at"


class Check(Contract):
    """One figure and its limits.

    Attributes:
        name: In samples, evidence and messages.
        promql: The resolved query; None if the probe measured the figure itself.
        largest: Largest healthy value.
        smallest: Smallest healthy value.
        beyond: What a value beyond its limits means.
        counted_by: The check that says whether there were enough requests to judge this one.
        caught: Value that must be found unhealthy; between it and `largest` a sequential test
            decides, see `slipway.rollout.statistics`.
        risk: Probability, at most, that the test is wrong on either side.
    """

    name: str
    promql: str | None = None
    largest: float | None = None
    smallest: float | None = None
    beyond: Verdict = "unhealthy"
    counted_by: str | None = None
    caught: float | None = None
    risk: float | None = None


class Queries(Protocol):
    """The questions that every model server's metrics answer; see `slipway.rollout.promql`."""

    def requests(self, model: str, window: str, /, *matchers: str, whole: bool = False) -> str:
        """Requests in the window."""

    def error_ratio(self, model: str, window: str, /, *matchers: str, whole: bool = False) -> str:
        """Share of them that failed."""

    def latency_ms(
        self, model: str, percentile: float, window: str, /, *matchers: str, whole: bool = False
    ) -> str:
        """A quantile of their latency, in milliseconds."""


def _queries(subject: Subject) -> Queries:
    return promql_triton if subject.server == "triton" else promql


def checks(policy: HealthPolicy, subject: Subject, at: float | None = None) -> tuple[Check, ...]:
    """The checks that Prometheus answers, with their queries resolved.

    Those against stable are left out where there is no stable version to compare with.

    Args:
        policy: The limits.
        subject: Whom to judge.
        at: When it is asked, Unix time in seconds: the window does not go back beyond
            `subject.since`. None: it is as long as the policy says.
    """
    window, model = f"{_window(policy, subject, at)}s", subject.model
    found = [
        Check(
            name=REQUESTS,
            promql=_queries(subject).requests(model, window, *subject.canary, whole=subject.fresh),
            smallest=policy.minimum_requests,
            beyond="inconclusive",
        )
    ]
    wanted = policy.checks
    found += _errors(wanted, subject, window)
    for latency in wanted.latency:
        found += _latency(latency, subject, window)
    # Triton does not count them, and a spec that asks for them is refused.
    if wanted.load_failures is not None and subject.server != "triton":
        query = promql.load_failures(model, subject.version, window, *subject.canary)
        found.append(
            Check(name="load_failures", promql=query, largest=wanted.load_failures.largest)
        )
    if wanted.saturation is not None and subject.version_label is not None:
        query = promql.saturation(version_service(model, subject.version), *subject.scope)
        found.append(Check(name="saturation", promql=query, largest=wanted.saturation.largest))
    return (*found, *_own(wanted, subject, window))


def _window(policy: HealthPolicy, subject: Subject, at: float | None) -> int:
    """Whole seconds."""
    if at is None or subject.since is None:
        return policy.window_seconds
    return max(1, min(policy.window_seconds, int(at - subject.since)))


def _errors(wanted: HealthChecks, subject: Subject, window: str) -> list[Check]:
    limits = wanted.error_ratio
    if limits is None:
        return []
    query = _queries(subject).error_ratio(
        subject.model, window, *subject.canary, whole=subject.fresh
    )
    found = [
        Check(
            name=ERROR_RATIO,
            promql=query,
            largest=limits.largest,
            counted_by=REQUESTS,
            caught=limits.caught,
            risk=limits.risk,
        )
    ]
    if limits.largest_increase is not None and subject.stable is not None:
        before = _queries(subject).error_ratio(subject.model, window, *subject.stable)
        found.append(
            Check(
                name=STABLE_REQUESTS,
                promql=_queries(subject).requests(subject.model, window, *subject.stable),
                smallest=1,
                beyond="inconclusive",
            )
        )
        found.append(
            Check(
                name=ERROR_INCREASE,
                promql=f"({query}) - ({before})",
                largest=limits.largest_increase,
                counted_by=REQUESTS,
                risk=limits.risk,
            )
        )
    return found


def _latency(limits: LatencyCheck, subject: Subject, window: str) -> list[Check]:
    name = latency_name(limits.percentile)
    query = _queries(subject).latency_ms(
        subject.model, limits.percentile, window, *subject.canary, whole=subject.fresh
    )
    found = [Check(name=name, promql=query, largest=limits.largest_ms, counted_by=REQUESTS)]
    if limits.largest_factor is not None and subject.stable is not None:
        before = _queries(subject).latency_ms(
            subject.model, limits.percentile, window, *subject.stable
        )
        found.append(
            Check(
                name=f"{name.removesuffix('_ms')}_factor",
                promql=f"({query}) / ({before})",
                largest=limits.largest_factor,
                counted_by=REQUESTS,
            )
        )
    return found


def _own(wanted: HealthChecks, subject: Subject, window: str) -> list[Check]:
    values = {"model": subject.model, "version": str(subject.version), "window": window}
    if subject.stable_version is not None:
        values["stable_version"] = str(subject.stable_version)
    return [
        Check(
            name=own.name,
            promql=promql.filled_in(own.query, **values),
            largest=own.largest,
            smallest=own.smallest,
        )
        for own in wanted.promql
        if "{stable_version}" not in own.query or subject.stable_version is not None
    ]


def probe_checks(policy: HealthPolicy, *, latency: bool) -> tuple[Check, ...]:
    """The same limits for what the probe counted at the client, of the canary alone.

    Args:
        policy: The limits.
        latency: Whether to judge latencies too. At the client they hold the way over the network
            and every pause of the client itself, so the server's own are better where they do.
    """
    found = [
        Check(name=PROBE_REQUESTS, smallest=policy.minimum_requests, beyond="inconclusive"),
    ]
    if policy.checks.error_ratio is not None:
        errors = policy.checks.error_ratio
        found.append(
            Check(
                name="probe_error_ratio",
                largest=errors.largest,
                counted_by=PROBE_REQUESTS,
                caught=errors.caught,
                risk=errors.risk,
            )
        )
    if latency:
        found.extend(
            Check(
                name=f"probe_{latency_name(each.percentile)}",
                largest=each.largest_ms,
                counted_by=PROBE_REQUESTS,
            )
            for each in policy.checks.latency
        )
    return tuple(found)


def latency_name(percentile: float) -> str:
    """Name of a latency quantile's check, such as latency_p99_ms or latency_p99_9_ms."""
    return f"latency_p{percentile:g}_ms".replace(".", "_")
