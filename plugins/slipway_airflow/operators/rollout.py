"""What the steps of a rollout share: they all work on the version that preflight settled."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError, TransientError
from slipway.kubernetes.waiting import AWAITED
from slipway_airflow.hooks.connections import bucket_environment
from slipway_airflow.hooks.kubernetes import kubernetes_environment
from slipway_airflow.links import VERSION_LINKS
from slipway_airflow.operators.base import StepOperator
from slipway_airflow.outcomes import approved_digest

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow.sdk import BaseOperatorLink, Context

    from slipway.contracts import StepResult

# Most pods are ready by then, and to be deferred and resumed takes some seconds too.
PATIENCE_SECONDS = 15.0
# The trigger ends by itself; this only catches a triggerer that died.
_SLACK = timedelta(minutes=5)

PREFLIGHT = "preflight"
SETTLED_KEY = "settled"


class RolloutOperator(StepOperator):
    """Base of the rollout's operators.

    Their parameters are `slipway.rollout.session.RolloutParameters`; the run names the rollout.

    On a cluster a step that has waited for pods for `PATIENCE_SECONDS` ends, the task is deferred
    until there is something to do, and then runs the step again.
    """

    needs_bucket = True
    needs_model_server = True
    operator_extra_links: Collection[BaseOperatorLink] = VERSION_LINKS

    _folder: Path | None = None
    _wait_until: float | None = None

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Run the step again: the pods that it waited for are ready, or time is up."""
        self._wait_until = float(event["until"])
        return self._perform(context)

    def _run(self, context: Context) -> StepResult:
        # A kubeconfig that the connection holds as text is a file for as long as the step runs.
        with TemporaryDirectory(prefix="slipway-rollout-") as folder:
            self._folder = Path(folder)
            try:
                return super()._run(context)
            except TransientError as error:
                if AWAITED in error.details:
                    self._defer(error)
                raise

    def _defer(self, error: TransientError) -> None:
        # Only who waits needs it; every parse of a DAG would import it.
        from slipway_airflow.triggers.version_pods import VersionPodsTrigger

        kubernetes = self.spec.serve.kubernetes
        if kubernetes is None:
            raise AssertionError from error
        self.log.info("%s: waiting in the triggerer", error.message)
        awaited = error.details[AWAITED]
        trigger = VersionPodsTrigger(connection_id=kubernetes.connection, awaited=awaited)
        left = timedelta(seconds=awaited["until"] - time.time())
        self.defer(trigger=trigger, method_name="resume", timeout=left + _SLACK)

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
            "patience_seconds": PATIENCE_SECONDS,
            "wait_until": self._wait_until,
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
