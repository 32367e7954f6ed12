"""What a number of errors among a number of requests proves.

Looks come one after the other, and each is a chance to be wrong. A confidence interval at every
look would multiply the false alarms, so the error ratio is judged by a test that was made for
looking again: A. Wald, "Sequential Tests of Statistical Hypotheses", Annals of Mathematical
Statistics 16 (1945). Its errors stay below `risk` on either side however often one looks.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Literal

_SURE = 0.99
_LARGEST_SAMPLE = 1 << 24
_COUNTED_ERRORS = 100


def sequential(
    errors: float, requests: float, *, tolerated: float, caught: float, risk: float
) -> Literal["healthy", "unhealthy", "inconclusive"]:
    """Wald's sequential probability ratio test of an error ratio.

    Args:
        errors: Failed requests so far.
        requests: All requests so far.
        tolerated: Ratio that must pass, above 0.
        caught: Ratio that must be caught, above `tolerated`.
        risk: Probability, at most, that either goes wrong.
    """
    failed, passed = _weights(tolerated, caught)
    evidence = errors * failed - (requests - errors) * passed
    bound = _bound(risk)
    if evidence >= bound:
        return "unhealthy"
    return "healthy" if evidence <= -bound else "inconclusive"


def wilson(errors: float, requests: float, *, risk: float) -> tuple[float, float]:
    """Lower and upper bound of an error ratio, each wrong with probability `risk`.

    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal
    of the American Statistical Association 22 (1927).
    """
    if requests <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(1 - risk)
    ratio, share = errors / requests, z * z / requests
    half = z * math.sqrt(ratio * (1 - ratio) / requests + share / (4 * requests))
    middle = ratio + share / 2
    return max(0.0, (middle - half) / (1 + share)), min(1.0, (middle + half) / (1 + share))


def difference(
    canary: tuple[float, float], stable: tuple[float, float], *, risk: float
) -> tuple[float, float]:
    """Lower and upper bound of how much larger the canary's error ratio is than stable's.

    Method 10 of R. G. Newcombe, "Interval Estimation for the Difference between Independent
    Proportions", Statistics in Medicine 17 (1998): chance in stable's figures counts, too.

    Args:
        canary: Errors and requests.
        stable: Errors and requests.
        risk: Probability with which each bound is wrong.
    """
    if canary[1] <= 0 or stable[1] <= 0:
        return -1.0, 1.0
    ours, theirs = canary[0] / canary[1], stable[0] / stable[1]
    lowest, highest = wilson(*canary, risk=risk)
    low, high = wilson(*stable, risk=risk)
    apart = ours - theirs
    return (
        apart - math.hypot(ours - lowest, high - theirs),
        apart + math.hypot(highest - ours, theirs - low),
    )


def requests_to_catch(*, tolerated: float, caught: float, risk: float) -> int:
    """Requests after which `sequential` has caught the ratio `caught` in 99 of 100 cases.

    By the normal approximation of the binomial distribution.
    """
    failed, passed = _weights(tolerated, caught)
    drift = caught * failed - (1 - caught) * passed
    spread = (failed + passed) * math.sqrt(caught * (1 - caught))
    return _solve(drift, spread, _bound(risk))


def requests_to_pass(*, tolerated: float, caught: float, risk: float) -> int:
    """Requests after which `sequential` has passed the ratio `tolerated` in 99 of 100 cases.

    Counted exactly while few errors are among them, else by the same approximation; a lower ratio
    passes sooner.
    """
    failed, passed = _weights(tolerated, caught)
    for errors in range(_COUNTED_ERRORS):
        needed = math.ceil((_bound(risk) + errors * (failed + passed)) / passed)
        if _at_most(errors, needed, tolerated) >= _SURE:
            return needed
    drift = (1 - tolerated) * passed - tolerated * failed
    spread = (failed + passed) * math.sqrt(tolerated * (1 - tolerated))
    return _solve(drift, spread, _bound(risk))


def seconds_for(requests: int, per_second: float) -> float:
    """Seconds in which so many requests come in 99 of 100 cases, if they come by chance."""
    return _solve(1.0, 1.0, float(requests)) / per_second


def _at_most(errors: int, requests: int, ratio: float) -> float:
    """Probability of so many errors or fewer, by the binomial distribution."""
    term = total = (1 - ratio) ** requests
    for found in range(errors):
        term *= (requests - found) / (found + 1) * ratio / (1 - ratio)
        total += term
    return total


def _weights(tolerated: float, caught: float) -> tuple[float, float]:
    return math.log(caught / tolerated), math.log((1 - tolerated) / (1 - caught))


def _bound(risk: float) -> float:
    return math.log((1 - risk) / risk)


def _solve(drift: float, spread: float, bound: float) -> int:
    """The smallest n with drift * n - z * spread * sqrt(n) >= bound."""
    lag = NormalDist().inv_cdf(_SURE) * spread
    root = (lag + math.sqrt(lag * lag + 4 * drift * bound)) / (2 * drift)
    return min(math.ceil(root * root), _LARGEST_SAMPLE)
