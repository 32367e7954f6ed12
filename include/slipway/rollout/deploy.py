"""Deploy: the version answers under the label canary, beside stable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError

if TYPE_CHECKING:
    from slipway.rollout.session import Rollout

_ROUNDS = 5


def deploy(rollout: Rollout) -> dict[str, Any]:
    """Point the channel canary to the version and wait until the server serves it.

    Stable answers throughout. A version that is stable already stays stable, and the server is
    only brought to where the channels point.

    Returns:
        Details: versions, labels, already_stable, stable_version (what served before).

    Raises:
        TerminalError: A newer version is canary or stable, or the server could not load this one.
        TransientError: The server or the bucket does not answer.
    """
    stable = rollout.channel("stable")
    already_stable = rollout.holds(stable)
    if not already_stable:
        rollout.refuse_older_than("stable", stable)
        _take_canary(rollout)
    serving = rollout.converge(share=None if already_stable else 0.0)
    details: dict[str, Any] = {
        "versions": sorted(serving.versions),
        "labels": dict(serving.labels),
        "already_stable": already_stable,
        "stable_version": stable.version if stable else None,
    }
    rollout.evidence.add("deploy", **details)
    return details


def _take_canary(rollout: Rollout) -> None:
    """Point the channel to the version; of two that do so at once the newer one has it."""
    for left in reversed(range(_ROUNDS)):
        canary = rollout.channel("canary")
        rollout.refuse_older_than("canary", canary)
        if rollout.holds(canary):
            return
        generation = canary.generation if canary else 0
        try:
            rollout.point("canary", canary)
        except TerminalError:
            moved = rollout.channel("canary")
            if not left or (moved.generation if moved else 0) == generation:
                raise
