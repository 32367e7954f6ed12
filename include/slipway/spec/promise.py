"""What must be caught by when, and the looks that follow from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import Field, PositiveFloat, PositiveInt

from slipway.rollout.statistics import requests_to_catch, seconds_for
from slipway.spec.base import SpecModel

# A canary with so much less than the promised ratio passes.
_TOLERATED_SHARE = 0.1
_CONSECUTIVE = 2
_LONGEST_INTERVAL_SECONDS = 5


class Promise(SpecModel):
    """What must be caught, and by when."""

    error_ratio: float = Field(gt=0, lt=1, description="Share of failed requests to catch.")
    within_seconds: PositiveInt = Field(
        90, description="Seconds from the first request to the verdict, in 99 of 100 cases."
    )
    risk: float = Field(
        0.001, gt=0, lt=0.5, description="Probability of a false alarm, and of a miss, at most."
    )

    @property
    def tolerated(self) -> float:
        """Share of failed requests that passes."""
        return self.error_ratio * _TOLERATED_SHARE


# What a promise says by itself, of `rollout` as written in a spec.
IMPLIED = (
    ("probe", "requests"),
    ("health", "window_seconds"),
    ("health", "interval_seconds"),
    ("health", "consecutive"),
    ("health", "minimum_requests"),
    ("health", "timeout_seconds"),
    ("health", "checks", "error_ratio", "largest"),
    ("health", "checks", "error_ratio", "caught"),
    ("health", "checks", "error_ratio", "risk"),
)


@dataclass(frozen=True)
class Looks:
    """How to look so that a promise is kept; fields as those of the health policy."""

    window_seconds: int
    interval_seconds: int
    consecutive: int
    minimum_requests: int
    timeout_seconds: int


def derive(
    promise: Promise,
    *,
    scrape_interval_seconds: float,
    requests_per_second: PositiveFloat,
    interval_seconds: int | None = None,
    consecutive: int | None = None,
) -> Looks:
    """The looks that keep a promise.

    From the first request to the verdict pass, at worst: a scrape, the requests that the test
    needs, and an interval for each look in a row. The window is as long as judging may last, so
    that each look has all requests since the beginning, as the sequential test wants it.

    Args:
        promise: What must be caught.
        scrape_interval_seconds: Of Prometheus.
        requests_per_second: That reach the canary.
        interval_seconds: Given by the user, if so.
        consecutive: Given by the user, if so.

    Raises:
        ValueError: The promise cannot be kept; says why, in seconds.
    """
    interval = interval_seconds or max(
        1, min(_LONGEST_INTERVAL_SECONDS, math.floor(scrape_interval_seconds))
    )
    row = consecutive or _CONSECUTIVE
    needed = requests_to_catch(
        tolerated=promise.tolerated, caught=promise.error_ratio, risk=promise.risk
    )
    waiting = seconds_for(needed, requests_per_second)
    total = waiting + scrape_interval_seconds + interval * row
    if total > promise.within_seconds:
        message = (
            f"{promise.error_ratio:g} errors cannot be caught within {promise.within_seconds} s: "
            f"that takes {math.ceil(total)} s, {math.ceil(waiting)} s for {needed} requests at "
            f"{requests_per_second:g} a second, {scrape_interval_seconds:g} s for a scrape and "
            f"{row} looks {interval} s apart; give more requests_per_second, a shorter "
            "scrape_interval_seconds or a longer within_seconds"
        )
        raise ValueError(message)
    patience = 2 * promise.within_seconds
    return Looks(
        window_seconds=patience,
        interval_seconds=interval,
        consecutive=row,
        minimum_requests=math.ceil(1 / promise.error_ratio),
        timeout_seconds=patience,
    )
