"""What the steps of a rollout share: they all work on the version that preflight settled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway_airflow.assets import newest_version
from slipway_airflow.links import EvidenceLink, VersionLink
from slipway_airflow.operators.base import StepOperator

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow.sdk import BaseOperatorLink, Context

PREFLIGHT = "preflight"


class RolloutOperator(StepOperator):
    """Base of the rollout's operators.

    Each gets `version` and `digest` among its parameters: preflight as they were asked for, which
    may be nothing, the others as preflight settled them.
    """

    needs_bucket = True
    needs_model_server = True
    operator_extra_links: Collection[BaseOperatorLink] = (VersionLink(), EvidenceLink())

    def _parameters(self, context: Context) -> dict[str, Any]:
        return {**super()._parameters(context), **self._version(context)}

    def _version(self, context: Context) -> dict[str, Any]:
        settled = context["ti"].xcom_pull(task_ids=PREFLIGHT) or {}
        details: dict[str, Any] = settled.get("details", {})
        return {name: details[name] for name in ("version", "digest") if name in details}


def requested_version(context: Context) -> dict[str, Any]:
    """Version and digest that a run is asked to roll out; empty: the newest published.

    An event of the asset names them, or whoever started the run.
    """
    events = context["triggering_asset_events"]
    extras = [event.extra for asset in events for event in events[asset]]
    named = newest_version(extras)
    if named:
        return named
    asked = {name: context["params"].get(name) for name in ("version", "digest")}
    return {name: value for name, value in asked.items() if value is not None}
