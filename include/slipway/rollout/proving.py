"""Verdicts on figures that hold chance: what so many requests prove, and what they do not yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.rollout.checks import ERROR_RATIO, REQUESTS, STABLE_REQUESTS
from slipway.rollout.statistics import difference, sequential

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.rollout.checks import Check, Verdict
    from slipway.rollout.subject import Subject

# Every look is a chance to be wrong; so many of them share a check's risk.
_LOOKS = 10


def by_test(check: Check, ratio: float, requests: float) -> tuple[Verdict, str]:
    """The verdict on an error ratio that a check with `caught` asks for, and why."""
    if check.largest is None or check.caught is None or check.risk is None:
        raise AssertionError(check)
    verdict = sequential(
        ratio * requests,
        requests,
        tolerated=check.largest,
        caught=check.caught,
        risk=check.risk,
    )
    meaning = {
        "healthy": f"so it is {check.largest:g} rather than {check.caught:g}",
        "unhealthy": f"so it is {check.caught:g} rather than {check.largest:g}",
        "inconclusive": f"which does not tell {check.largest:g} from {check.caught:g} yet",
    }
    return verdict, f"of {requests:g} requests, {meaning[verdict]}"


def not_scraped(subject: Subject, sent: float) -> str:
    """Why there is no series of requests, of which the probe sent so many."""
    labels = f"with {', '.join(subject.canary)}" if subject.canary else "at all"
    return (
        f"{REQUESTS}: Prometheus has no series of {subject.model} {labels}, though the probe sent "
        f"{sent:g}: it does not scrape these servers, or not with these labels"
    )


def by_difference(
    check: Check, increase: float, samples: Mapping[str, float | None]
) -> tuple[Verdict, str]:
    """The verdict on how much larger the canary's error ratio is than stable's, and why."""
    if check.largest is None or check.risk is None:
        raise AssertionError(check)
    ratio = samples.get(ERROR_RATIO) or 0.0
    ours, theirs = samples.get(REQUESTS) or 0.0, samples.get(STABLE_REQUESTS) or 0.0
    lowest, highest = difference(
        (ratio * ours, ours), ((ratio - increase) * theirs, theirs), risk=check.risk / _LOOKS
    )
    shown = f"between {lowest:.3g} and {highest:.3g} by {ours:g} requests and stable's {theirs:g}"
    if lowest > check.largest:
        return "unhealthy", f"{shown}: more than the largest allowed, {check.largest:g}"
    if highest <= check.largest:
        return "healthy", f"{shown}: at most {check.largest:g}"
    return "inconclusive", f"{shown}, which does not prove it at most {check.largest:g} yet"
