"""Publishes the winner and says so to whoever waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway_airflow.assets import event_of, model_asset
from slipway_airflow.forms import SKIP_ROLLOUT
from slipway_airflow.lineage import published_dataset, tell_metrics
from slipway_airflow.links import BucketLink, ReportLink, VersionLink
from slipway_airflow.operators.base import StepOperator
from slipway_airflow.outcomes import approved_digest

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow.sdk import BaseOperatorLink, Context

    from slipway.contracts import StepOutcome, StepResult

SELECT = "select"


class PublishOperator(StepOperator):
    """Publishes the winner under a version; the asset's event names version and digest."""

    needs_bucket = True
    operator_extra_links: Collection[BaseOperatorLink] = (
        ReportLink(),
        VersionLink(),
        BucketLink(),
    )
    selected: dict[str, Any] | None = None

    def _outcomes(self, context: Context) -> dict[str, StepOutcome]:
        outcomes = super()._outcomes(context)
        found = outcomes.get(SELECT)
        self.selected = found.result.details if found and found.result else None
        return outcomes

    def _parameters(self, context: Context) -> dict[str, Any]:
        approval = self.work.planned.approval
        approved = {} if approval is None else {"approved": approved_digest(context, approval)}
        return super()._parameters(context) | approved

    def _after(self, context: Context, result: StepResult) -> None:
        model = self.spec.model
        context["outlet_events"][model_asset(model)].extra = event_of(
            model, result, rollout=not context["params"].get(SKIP_ROLLOUT, False)
        )
        tell_metrics(result)

    def get_openlineage_facets_on_complete(self, _task_instance: Any) -> Any:
        """The published version, for whoever has the OpenLineage provider."""
        return published_dataset(self.result)
