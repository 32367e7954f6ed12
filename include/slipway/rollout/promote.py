"""Promote: stable moves to the version, once it can take all requests; none is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.serving.channels import clear_channel

if TYPE_CHECKING:
    from slipway.rollout.session import Rollout


def promote(rollout: Rollout) -> dict[str, Any]:
    """Give the version room for all requests, move the channel, the label, leave the old one out.

    What the servers lack room for is found before the channel moves, while there is a way back. The
    channel is the commitment: killed before its move nothing has happened, killed after it a
    second call finishes the same promotion.

    Returns:
        Details: versions, labels, already_stable.

    Raises:
        TerminalError: The verdict is not healthy, the version is no longer the canary, a newer
            one is stable, or there is no room for the version's pods.
        TransientError: The server or the bucket does not answer.
    """
    decision = rollout.parameters.decision
    if decision is not None and decision.verdict != "healthy":
        raise TerminalError(
            f"{rollout.name} is {decision.verdict}: {'; '.join(decision.reasons)}",
            hint="roll back",
            subject=f"{rollout.model}/{rollout.version}",
        )
    rollout.refuse_unapproved()
    stable, canary = rollout.channel("stable"), rollout.channel("canary")
    already_stable = rollout.holds(stable)
    if not already_stable:
        rollout.refuse_older_than("stable", stable)
        if not rollout.holds(canary):
            raise rollout.superseded()
        rollout.servers.make_room()
        rollout.point("stable", stable)
    release_canary(rollout)
    serving = rollout.converge()
    details: dict[str, Any] = {
        "versions": sorted(serving.versions),
        "labels": dict(serving.labels),
        "already_stable": already_stable,
        "replaced_version": stable.version if stable and not already_stable else None,
        "evidence": rollout.evidence.uri,
    }
    evidence = decision.model_dump(mode="json") if decision else None
    rollout.evidence.add("promote", decision=evidence, **details)
    return details


def release_canary(rollout: Rollout) -> bool:
    """Clear the channel canary if it points to this version; whether it did."""
    canary = rollout.channel("canary")
    if canary is None or not rollout.holds(canary):
        return False
    clear_channel(
        rollout.store,
        rollout.model,
        "canary",
        expected_generation=canary.generation,
        moved_by=rollout.parameters.rollout_id,
    )
    return True
