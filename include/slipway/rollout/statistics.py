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


def wilson_lower(errors: float, requests: float, *, risk: float) -> float:
    """One-sided lower bound of an error ratio.

    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal
    of the American Statistical Association 22 (1927).
    """
    if requests <= 0:
        return 0.0
    z = NormalDist().inv_cdf(1 - risk)
    ratio, share = errors / requests, z * z / requests
    half = z * math.sqrt(ratio * (1 - ratio) / requests + share / (4 * requests))
    return max(0.0, (ratio + share / 2 - half) / (1 + share))


def requests_to_catch(*, tolerated: float, caught: float, risk: float) -> int:
    """Requests after which `sequential` has caught the ratio `caught` in 99 of 100 cases.

    By the normal approximation of the binomial distribution.
    """
    failed, passed = _weights(tolerated, caught)
    drift = caught * failed - (1 - caught) * passed
    spread = (failed + passed) * math.sqrt(caught * (1 - caught))
    return _solve(drift, spread, _bound(risk))


def seconds_for(requests: int, per_second: float) -> float:
    """Seconds in which so many requests come in 99 of 100 cases, if they come by chance."""
    return _solve(1.0, 1.0, float(requests)) / per_second


def _weights(tolerated: float, caught: float) -> tuple[float, float]:
    return math.log(caught / tolerated), math.log((1 - tolerated) / (1 - caught))


def _bound(risk: float) -> float:
    return math.log((1 - risk) / risk)


def _solve(drift: float, spread: float, bound: float) -> int:
    """The smallest n with drift * n - z * spread * sqrt(n) >= bound."""
    lag = NormalDist().inv_cdf(_SURE) * spread
    root = (lag + math.sqrt(lag * lag + 4 * drift * bound)) / (2 * drift)
    return min(math.ceil(root * root), _LARGEST_SAMPLE)
