"""What the steps of a rollout share: they all work on the version that preflight settled."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway_airflow.hooks.connections import bucket_environment
from slipway_airflow.hooks.kubernetes import kubernetes_environment
from slipway_airflow.links import BucketLink, EvidenceLink, KubernetesLink, VersionLink
from slipway_airflow.operators.base import StepOperator
from slipway_airflow.outcomes import approved_digest

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow.sdk import BaseOperatorLink, Context

    from slipway.contracts import StepResult

PREFLIGHT = "preflight"
SETTLED_KEY = "settled"


class RolloutOperator(StepOperator):
    """Base of the rollout's operators.

    Their parameters are `slipway.rollout.session.RolloutParameters`; the run names the rollout.
    """

    needs_bucket = True
    needs_model_server = True
    operator_extra_links: Collection[BaseOperatorLink] = (
        VersionLink(),
        EvidenceLink(),
        BucketLink(),
        KubernetesLink(),
    )

    _folder: Path | None = None

    def _run(self, context: Context) -> StepResult:
        # A kubeconfig that the connection holds as text is a file for as long as the step runs.
        with TemporaryDirectory(prefix="slipway-rollout-") as folder:
            self._folder = Path(folder)
            return super()._run(context)

    def _environment(self) -> dict[str, str]:
        kubernetes = self.spec.serve.kubernetes
        if kubernetes is None:
            return super()._environment()
        publish = self.spec.publish
        return {
            **bucket_environment(publish.connection, publish.base_uri),
            **kubernetes_environment(kubernetes.connection, self._folder or Path.cwd()),
        }

    def _parameters(self, context: Context) -> dict[str, Any]:
        parameters = {
            **super()._parameters(context),
            "rollout_id": context["run_id"],
            "allow_older": self.work.goes_back or bool(context["params"].get("allow_older", False)),
            **self._settled(context),
        }
        if self.work.planned.approval is not None:
            parameters["approved"] = approved_digest(context, self.work.planned.approval)
        return parameters

    def _settled(self, context: Context) -> dict[str, Any]:
        return settled_version(context)


def settled_version(context: Context) -> dict[str, Any]:
    """Version and digest that preflight settled for this run.

    Raises:
        TerminalError: if it did not.
    """
    settled: dict[str, Any] | None = context["ti"].xcom_pull(task_ids=PREFLIGHT, key=SETTLED_KEY)
    if not settled:
        raise TerminalError(
            "preflight has not settled which version is rolled out",
            hint="clear preflight and what follows it",
            subject=PREFLIGHT,
        )
    return settled
