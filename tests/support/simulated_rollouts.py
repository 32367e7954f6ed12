"""Rollouts whose requests are drawn by chance and judged by the real judge: no server, no clock."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from slipway.health import Judge, JudgeState
from slipway.rollout.subject import Subject
from slipway.spec.health import HealthPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.rollout.checks import Verdict

SUBJECT = Subject(model="m", version=2, version_label="slipway_dev_version", stable_version=1)
# Seconds between two looks, and failed ones until it is rolled back; bench/health.py has sources.
PEERS = {"Flagger": (60.0, 5), "Argo Rollouts": (300.0, 3)}
FAST_MS, SLOW_MS, LIMIT_MS = 20.0, 400.0, 100.0


@dataclass(frozen=True)
class Scrape:
    """What Prometheus knows after a scrape: totals since the canary's first request."""

    at: float
    requests: int
    errors: int
    slow: int


@dataclass(frozen=True)
class Ended:
    """How a simulated rollout ended.

    Attributes:
        verdict: Of the judge, or of a peer's arithmetic.
        seconds: Since the first request.
    """

    verdict: Verdict
    seconds: float


def scrapes(
    *,
    seed: int,
    per_second: float,
    errors: float,
    slow: float = 0.0,
    every: float = 5.0,
    seconds: float = 200.0,
    most: int | None = None,
) -> list[Scrape]:
    """Requests that come by chance, failing and slow by chance, as scrapes see them.

    After `most` of them no more come, as where nobody but the probe asks.
    """
    chance = random.Random(seed)
    found, total, failed, late = [], 0, 0, 0
    scrape, arrival = chance.uniform(0, every), chance.expovariate(per_second)
    while scrape <= seconds:
        while arrival <= scrape and total != most:
            total += 1
            bad = chance.random() < errors
            failed += bad
            late += not bad and chance.random() < slow
            arrival += chance.expovariate(per_second)
        found.append(Scrape(scrape, total, failed, late))
        scrape += every
    return found


@lru_cache
def policy(
    *, errors: float = 0.05, within: int = 90, scrape: float = 5.0, rate: float = 10.0
) -> HealthPolicy:
    """The policy that keeps a promise, with a limit on p90 beside it."""
    return HealthPolicy.model_validate(
        {
            "promise": {"error_ratio": errors, "within_seconds": within},
            "scrape_interval_seconds": scrape,
            "requests_per_second": rate,
            "checks": {"latency": [{"percentile": 90, "largest_ms": LIMIT_MS}]},
        }
    )


def judged(rules: HealthPolicy, seen: Sequence[Scrape]) -> Ended:
    """The rollout, judged by `slipway.health.Judge`."""
    judge = Judge(rules, SUBJECT, state=JudgeState(started_at=0.0))
    at = 0.0
    while True:
        at += rules.interval_seconds
        decision = judge.observe(_samples(seen, at), at)
        if decision is not None:
            return Ended(decision.verdict, at)


def by_steps(
    seen: Sequence[Scrape], *, interval: float, failures: int, in_a_row: bool, largest: float
) -> Ended:
    """A peer's arithmetic: each interval's own ratio against a limit, until failures are enough."""
    count, at = 0, interval
    while at <= seen[-1].at:
        now, before = _last(seen, at), _last(seen, at - interval)
        requests = now.requests - before.requests
        bad = requests > 0 and (now.errors - before.errors) / requests > largest
        count = count + 1 if bad else (0 if in_a_row else count)
        if count >= failures:
            return Ended("unhealthy", at)
        at += interval
    return Ended("healthy", at - interval)


def peer(name: str, *, seed: int, per_second: float, errors: float) -> Ended:
    """The arithmetic of a peer's documented defaults on a rollout that is scraped every 15 s."""
    interval, failures = PEERS[name]
    seen = scrapes(seed=seed, per_second=per_second, errors=errors, every=15.0, seconds=1200.0)
    return by_steps(seen, interval=interval, failures=failures, in_a_row=False, largest=0.01)


def _last(seen: Sequence[Scrape], at: float) -> Scrape:
    return next((each for each in reversed(seen) if each.at <= at), Scrape(0.0, 0, 0, 0))


def _samples(seen: Sequence[Scrape], at: float) -> dict[str, float | None]:
    now = _last(seen, at)
    if not now.requests:
        return {"requests": 0.0}
    answered = max(1, now.requests - now.errors)
    return {
        "requests": float(now.requests),
        "error_ratio": now.errors / now.requests,
        "latency_p90_ms": SLOW_MS if now.slow / answered > 1 - 90 / 100 else FAST_MS,
    }
