"""Takes a folder that was copied into the bucket by hand for a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway_airflow.assets import event_of, model_asset
from slipway_airflow.lineage import published_dataset
from slipway_airflow.links import BucketLink, VersionLink
from slipway_airflow.operators.base import StepOperator

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow.sdk import BaseOperatorLink, Context

    from slipway.contracts import StepResult


class AdoptOperator(StepOperator):
    """Adopts the folder that the run's parameter `version` names.

    It stands in a DAG of its own, which only a person starts: adoption is never an accident. With
    the model's asset as outlet, what it adopted is rolled out like what was published.
    """

    begins = True
    needs_bucket = True
    operator_extra_links: Collection[BaseOperatorLink] = (VersionLink(), BucketLink())

    def _parameters(self, context: Context) -> dict[str, Any]:
        return {**super()._parameters(context), "version": context["params"].get("version")}

    def _after(self, context: Context, result: StepResult) -> None:
        asset = model_asset(self.spec.model)
        if asset in (self.outlets or ()):
            context["outlet_events"][asset].extra = event_of(self.spec.model, result)

    def get_openlineage_facets_on_complete(self, _task_instance: Any) -> Any:
        """The adopted version, for whoever has the OpenLineage provider."""
        return published_dataset(self.result)
