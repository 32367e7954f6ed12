"""Shift: the canary gets a share of the requests; stable keeps the rest, and all of its pods."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from slipway.rollout.probe import probe

if TYPE_CHECKING:
    from slipway.rollout.session import Rollout


def shift(rollout: Rollout, share: float) -> tuple[dict[str, float], dict[str, Any]]:
    """Give the canary a share of the requests, and wait until it has it.

    Before the first promotion there is no stable version whose requests could be shared: the canary
    is probed instead, so that the health gate has requests to judge.

    Args:
        rollout: The rollout.
        share: Of all requests, above 0; with 1 stable's pods stay, ready to take them back.

    Returns:
        Figures of the probe, if there was one, and details: share, versions, labels, first, and
        since when, Unix time in seconds, its requests are those of this share.

    Raises:
        TerminalError: The version is not the canary any more, was not approved, or its pods do not
            become available.
        TransientError: The cluster or the bucket does not answer.
    """
    rollout.refuse_unapproved()
    if rollout.label() == "stable":
        return {}, {"share": 1.0, "already_stable": True}
    stable = rollout.channel("stable")
    first = stable is None or stable.version is None
    serving = rollout.converge(0.0 if first else share)
    since = time.time()
    figures = probe(rollout)[0] if first else {}
    details: dict[str, Any] = {
        "share": share,
        "first": first,
        "since": since,
        "versions": sorted(serving.versions),
        "labels": dict(serving.labels),
        "evidence": rollout.evidence.uri,
    }
    rollout.evidence.add("shift", **details)
    return figures, details
