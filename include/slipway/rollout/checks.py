"""From a policy to the figures that decide, each with its query and its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from slipway.contracts import Contract
from slipway.rollout import promql

if TYPE_CHECKING:
    from slipway.spec.rollout import HealthPolicy

Verdict = Literal["healthy", "unhealthy", "inconclusive", "error"]

REQUESTS = "requests"
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
    """

    name: str
    promql: str | None = None
    largest: float | None = None
    smallest: float | None = None
    beyond: Verdict = "unhealthy"
    counted_by: str | None = None


def checks(policy: HealthPolicy, model: str, version: int) -> tuple[Check, ...]:
    """The checks that Prometheus answers, with their queries resolved."""
    window = f"{policy.window_seconds}s"
    found = [
        Check(
            name=REQUESTS,
            promql=promql.requests(model, window),
            smallest=policy.minimum_requests,
            beyond="inconclusive",
        )
    ]
    wanted = policy.checks
    if wanted.error_ratio is not None:
        query = promql.error_ratio(model, window)
        limit = wanted.error_ratio.largest
        found.append(Check(name="error_ratio", promql=query, largest=limit, counted_by=REQUESTS))
    for latency in wanted.latency:
        query = promql.latency_ms(model, latency.percentile, window)
        name = latency_name(latency.percentile)
        limit = latency.largest_ms
        found.append(Check(name=name, promql=query, largest=limit, counted_by=REQUESTS))
    if wanted.load_failures is not None:
        query = promql.load_failures(model, version, window)
        found.append(
            Check(name="load_failures", promql=query, largest=wanted.load_failures.largest)
        )
    for own in wanted.promql:
        query = promql.filled_in(own.query, model=model, version=version, window=window)
        found.append(Check(name=own.name, promql=query, largest=own.largest, smallest=own.smallest))
    return tuple(found)


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
        limit = policy.checks.error_ratio.largest
        found.append(Check(name="probe_error_ratio", largest=limit, counted_by=PROBE_REQUESTS))
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
