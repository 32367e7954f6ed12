"""Time calls in turns, so that all are measured under the same conditions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from slipway.contracts import Contract

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

# A visit: the first call refills the caches that the others have emptied, and is not counted.
_CALLS_A_VISIT = 6
_ROUNDS_BETWEEN_LOOKS = 5
_THROUGHPUT_ROUNDS = 5


class Budget(Contract):
    """How long to time.

    Attributes:
        seconds: Time after which `least_samples` of each are enough.
        longest_seconds: Time after which it ends in any case.
        least_samples: Timed calls that make a 99th percentile.
        most_samples: Timed calls that are enough at any time.
    """

    seconds: float = 6.0
    longest_seconds: float = 60.0
    least_samples: int = 100
    most_samples: int = 3000


def take_turns(
    calls: dict[str, Callable[[], Any]], budget: Budget, order: random.Random
) -> dict[str, list[int]]:
    """Nanoseconds of each call, by name, the calls taking turns in a shuffled order.

    Whatever slows the machine for a while slows all of them. A call that fails ends everything.
    """
    samples: dict[str, list[int]] = {name: [] for name in calls}
    names = list(calls)
    started = time.monotonic()
    while names:
        for _ in range(_ROUNDS_BETWEEN_LOOKS):
            order.shuffle(names)
            for name in names:
                samples[name] += _visit(calls[name])
        spent = time.monotonic() - started
        count = min(len(taken) for taken in samples.values())
        enough = budget.least_samples if spent > budget.seconds else budget.most_samples
        if count >= enough or spent > budget.longest_seconds:
            break
    return samples


def _visit(call: Callable[[], Any]) -> list[int]:
    clock = time.perf_counter_ns
    call()
    times = []
    for _ in range(_CALLS_A_VISIT - 1):
        started = clock()
        call()
        times.append(clock() - started)
    return times


def throughput_of(
    calls: dict[str, Callable[[], Any]], sizes: dict[str, int], seconds: float, order: random.Random
) -> dict[str, float]:
    """The median over rounds of examples a second, each variant as long as every other."""
    slice_seconds = seconds / max(1, len(calls) * _THROUGHPUT_ROUNDS)
    rates: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for _ in range(_THROUGHPUT_ROUNDS):
        order.shuffle(names)
        for name in names:
            started, done = time.perf_counter(), 0
            while (spent := time.perf_counter() - started) < slice_seconds or not done:
                calls[name]()
                done += sizes[name]
            rates[name].append(done / spent)
    return {name: sorted(found)[len(found) // 2] for name, found in rates.items()}
