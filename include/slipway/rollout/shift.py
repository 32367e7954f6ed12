"""Shift: the canary gets a share of the requests; stable keeps the rest, and all of its pods."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from slipway.rollout.probe import probe

if TYPE_CHECKING:
    from slipway.rollout.session import Rollout

_LISTEN_SECONDS = 5.0


def shift(rollout: Rollout, share: float) -> tuple[dict[str, float], dict[str, Any]]:
    """Give the canary a share of the requests, and wait until it has it.

    Where its clients send too little for the health gate, and before the first promotion, when
    there are no requests to share, the canary is probed too: the gate always has some to judge.

    Args:
        rollout: The rollout.
        share: Of all requests, above 0; with 1 stable's pods stay, ready to take them back.

    Returns:
        Figures of the probe, if there was one, and details: share, reached_share, versions, labels,
        first, and since when, Unix time in seconds, its requests are those of this share.

    Raises:
        TerminalError: The version is not the canary any more, was not approved, or its pods do not
            become available.
        TransientError: The cluster or the bucket does not answer.
    """
    rollout.refuse_unapproved()
    if rollout.label() == "stable":
        return {}, {"share": 1.0, "reached_share": 1.0, "already_stable": True}
    stable = rollout.channel("stable")
    first = stable is None or stable.version is None
    serving = rollout.converge(0.0 if first else share)
    since = time.time()
    reached = rollout.servers.reached_share()
    rollout.say(
        f"no version is stable yet, so {rollout.name} is probed again"
        if first
        else f"{rollout.name} gets {reached or 0:.0%} of the requests; {share:.0%} were asked for"
    )
    figures = {} if not first and _clients_are_enough(rollout) else probe(rollout)[0]
    details: dict[str, Any] = {
        "share": share,
        "reached_share": reached,
        "first": first,
        "since": since,
        "versions": sorted(serving.versions),
        "labels": dict(serving.labels),
        "evidence": rollout.evidence.uri,
    }
    rollout.evidence.add("shift", **details)
    return figures, details


def _clients_are_enough(rollout: Rollout) -> bool:
    """Whether clients alone bring, in half of the gate's time, what it needs for a verdict."""
    health = rollout.config.rollout.health
    before, began = rollout.servers.counted_requests(), time.monotonic()
    time.sleep(_LISTEN_SECONDS)
    after, seconds = rollout.servers.counted_requests(), time.monotonic() - began
    if before is None or after is None:
        return False
    per_second = (after - before) / seconds
    rollout.say(f"clients send it {max(per_second, 0):.3g} requests a second")
    return per_second * health.timeout_seconds / 2 >= health.enough_requests
