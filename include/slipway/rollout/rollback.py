"""Rollback: the canary is withdrawn; stable is not touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.errors import SlipwayError, TerminalError
from slipway.rollout.promote import release_canary

if TYPE_CHECKING:
    from slipway.rollout.session import Rollout


def rollback(rollout: Rollout) -> dict[str, Any]:
    """Withdraw the version and keep the reasons, from whatever state the rollout was left in.

    Another rollout's canary stays. The evidence is stored even if the server does not answer.

    Returns:
        Details: withdrawn (False if another call had done it), verdict, reasons, versions, labels
        and the address of the evidence.

    Raises:
        TerminalError: The version is stable: that is not taken back, but replaced.
        TransientError: The server or the bucket does not answer.
    """
    if rollout.holds(rollout.channel("stable")):
        raise TerminalError(
            f"{rollout.name} is stable, so there is no canary to withdraw",
            hint="its promotion was faster: go back with the rollback DAG, or roll out an earlier "
            "version with allow_older; if it is to stay, clear promote with Downstream",
            subject=f"{rollout.model}/{rollout.version}",
        )
    withdrawn = release_canary(rollout)
    decision, reason = rollout.parameters.decision, rollout.parameters.reason
    facts: dict[str, Any] = {
        "withdrawn": withdrawn,
        "verdict": decision.verdict if decision else None,
        "reasons": [*(decision.reasons if decision else ()), *([reason] if reason else [])],
    }
    evidence = decision.model_dump(mode="json") if decision else None
    try:
        serving = rollout.converge()
    except SlipwayError as error:
        rollout.evidence.add("rollback", decision=evidence, problem=error.message, **facts)
        raise
    facts |= {"versions": sorted(serving.versions), "labels": dict(serving.labels)}
    rollout.evidence.add("rollback", decision=evidence, **facts)
    return {**facts, "evidence": rollout.evidence.uri}
