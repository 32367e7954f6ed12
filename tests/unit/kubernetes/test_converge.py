"""How long a step waits for pods, and what it ends with when it is not to the end."""

from __future__ import annotations

import time
from typing import Any

import pytest

from slipway.errors import TerminalError, TransientError
from slipway.kubernetes.converge import converge
from slipway.kubernetes.goal import Fleet, Goal, Seen, Sizes
from slipway.kubernetes.observed import Observed, Order
from slipway.kubernetes.waiting import AWAITED, Awaited

_ORDER = Order(Goal(1, 2), (1, 1), 2, {}, "run")
_STABLE = Fleet(1, ready=1, settled=True)


class _Fleets:
    """Version 2's pods become ready at the look of that number."""

    model, namespace = "m", "serving"

    def __init__(self, ready_at_look: int) -> None:
        self._left = ready_at_look

    def look(self, _order: Order) -> Observed:
        self._left -= 1
        canary = Fleet(1, ready=1, settled=True) if self._left <= 0 else Fleet(1)
        return Observed(Seen({1: _STABLE, 2: canary}, 1, 1, {1: 1}))

    def trouble(self, _version: int, _observed: Observed, *, last: bool = False) -> None:
        del last


def _converge(ready_at_look: int, **limits: Any) -> Order:
    fleets: Any = _Fleets(ready_at_look)
    return converge(fleets, lambda: _ORDER, Sizes(1), **limits)


def test_pods_are_waited_for_elsewhere_once_patience_is_over() -> None:
    before = time.time()
    with pytest.raises(TransientError) as caught:
        _converge(1000, within_seconds=300, patience_seconds=0.6)
    awaited = Awaited.model_validate(caught.value.details[AWAITED])
    assert (awaited.namespace, awaited.model, awaited.version) == ("serving", "m", 2)
    assert awaited.until == pytest.approx(before + 300, abs=5)


def test_pods_that_come_soon_are_waited_for_here() -> None:
    assert _converge(3, within_seconds=300, patience_seconds=60) == _ORDER


def test_when_time_is_up_it_is_said_and_not_waited_for_elsewhere() -> None:
    with pytest.raises(TerminalError, match="is not available after"):
        _converge(1000, within_seconds=0.6)
