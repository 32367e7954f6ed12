"""Bringing a cluster to where the channels point, one safe change at a time."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from slipway.errors import SlipwayError, TerminalError, TransientError
from slipway.kubernetes.changes import Wait
from slipway.kubernetes.goal import next_change
from slipway.kubernetes.waiting import AWAITED, Awaited

if TYPE_CHECKING:
    from collections.abc import Callable

    from slipway.kubernetes.changes import Change
    from slipway.kubernetes.fleets import Fleets
    from slipway.kubernetes.goal import Sizes
    from slipway.kubernetes.observed import Observed, Order

_POLL_SECONDS = 0.5


def converge(
    fleets: Fleets,
    ordered: Callable[[], Order],
    sizes: Sizes,
    *,
    within_seconds: float,
    patience_seconds: float | None = None,
    say: Callable[[str], None] = lambda _line: None,
) -> Order:
    """Look, make the next safe change, look again, until the goal is reached.

    Whoever is killed in the middle leaves a state from which the next one goes on. The channels
    are read again right before every write.

    Args:
        fleets: The model on its cluster.
        ordered: Reads the channels.
        sizes: How many pods.
        within_seconds: Time limit.
        patience_seconds: How long to wait for pods here; None: to the end.
        say: Told of every change, and of what is waited for.

    Returns:
        What was reached.

    Raises:
        TerminalError: A version cannot become available, and why; somebody else owns what would
            have to be changed; or a newer rollout has taken over.
        TransientError: The API server did not answer, or the cluster did not follow in time; or
            pods are left to be waited for elsewhere, see `slipway.kubernetes.waiting`.
    """
    began = time.monotonic()
    deadline = began + within_seconds
    patience = math.inf if patience_seconds is None else began + patience_seconds
    told = _Told(say)
    while True:
        late = time.monotonic() > deadline
        try:
            order = ordered()
            observed = fleets.look(order)
            change = next_change(order.goal, observed.seen, sizes)
            if change is None or _is_others(change, order):
                return order
            told.once(_described(change))
            if isinstance(change, Wait):
                _refuse_hopeless(fleets, change, observed)
                if patience < time.monotonic() < deadline and change.version is not None:
                    raise _awaited(fleets, change.version, deadline)
            elif ordered() == order:
                fleets.make(change, order, observed)
                if not late:
                    continue
            if late:
                raise _too_late(fleets, change, observed, within_seconds)
        except TransientError as error:
            # Of an object that changed meanwhile, or an API server that restarts: look again.
            if late or AWAITED in error.details:
                raise
            told.once(error.message)
        time.sleep(_POLL_SECONDS)


class _Told:
    """Says each line once in a row."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._last = ""

    def once(self, line: str) -> None:
        if line != self._last:
            self._say(line)
        self._last = line


def _is_others(change: Change, order: Order) -> bool:
    """Whether only another rollout's canary is left to wait for: that is its own business."""
    ours = (None, order.own, order.goal.stable)
    return isinstance(change, Wait) and change.version not in ours


def _refuse_hopeless(fleets: Fleets, waiting: Wait, observed: Observed) -> None:
    if waiting.version is None:
        return
    trouble = fleets.trouble(waiting.version, observed)
    if trouble is not None and trouble.hopeless:
        raise trouble.error(f"version {waiting.version} of {fleets.model}")


def _awaited(fleets: Fleets, version: int, deadline: float) -> TransientError:
    until = time.time() + deadline - time.monotonic()
    return Awaited(
        namespace=fleets.namespace, model=fleets.model, version=version, until=until
    ).error()


def _too_late(
    fleets: Fleets, change: Change, observed: Observed, within_seconds: float
) -> SlipwayError:
    if not isinstance(change, Wait) or change.version is None:
        return TransientError(
            f"{fleets.model}: the cluster did not follow within {within_seconds:g} s: "
            f"{_described(change)}",
            hint="look at the Service's EndpointSlices and at kube-controller-manager",
            subject=fleets.model,
        )
    version = change.version
    trouble = fleets.trouble(version, observed, last=True)
    what = f"version {version} of {fleets.model}"
    if trouble is not None:
        return trouble.error(f"{what}, given {within_seconds:g} s,")
    return TerminalError(
        f"{what} is not available after {within_seconds:g} s, and no pod says why",
        hint="read the pods' logs, or raise serve.kubernetes.available_within_seconds",
        subject=f"{fleets.model}/{version}",
    )


def _described(change: Change) -> str:
    if isinstance(change, Wait):
        return f"waiting for {change.reason}"
    fields = ", ".join(f"{name} {value}" for name, value in vars(change).items())
    return f"{type(change).__name__.lower()}: {fields}"
