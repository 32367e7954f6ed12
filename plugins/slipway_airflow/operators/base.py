"""What every operator does: build the request, run the step elsewhere, hand on the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from slipway.errors import SlipwayError
from slipway.incoming import INCOMING
from slipway.requests import build_request
from slipway.workspace import default_workspace
from slipway_airflow.forms import is_wanted, refuse_unknown
from slipway_airflow.hooks.connections import bucket_environment, model_server_environment
from slipway_airflow.links import BucketLink
from slipway_airflow.outcomes import leave_failure, outcomes_of
from slipway_airflow.runtimes import runtime_for

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from airflow.sdk import BaseOperatorLink, Context

    from slipway.contracts import StepOutcome, StepRequest, StepResult
    from slipway.spec.model import ModelSpec
    from slipway.spec.plan import PlannedStep
    from slipway_airflow.runtimes.base import Runtime


@dataclass(frozen=True)
class Work:
    """What a task is for.

    Attributes:
        spec: The model's spec.
        spec_file: Where it stands.
        planned: The step.
        goes_back: Whether it belongs to a rollback: an older version may take over, ungated.
    """

    spec: ModelSpec
    spec_file: Path
    planned: PlannedStep
    goes_back: bool = False


class StepOperator(BaseOperator):
    """Runs one planned step in a process of its own.

    Returns the StepResult as JSON. Before it fails it leaves the StepFailure under the XCom key
    `failure`, for the steps that decide on failed ones too.

    Attributes:
        work: What the task is for.
        request: The StepRequest as JSON without `results`, once it is known: what the UI shows as
            rendered template.
        result: The StepResult, once there is one: the links are made from it.
        failure: The error, if it came to that.
        begins: Whether its task is the first of a DAG, which looks at what was asked of the run.
        needs_bucket: Whether the step's process gets the bucket's credentials.
        needs_model_server: Whether it gets the model server's address.
    """

    # What the operator shows is made while it runs, from what other tasks left, so the rendered
    # fields are stored again after it ran. Options are no templates: PromQL is full of braces.
    template_fields: Sequence[str] = ("request",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"request": "json"}
    overwrite_rtif_after_execution = True
    operator_extra_links: Collection[BaseOperatorLink] = (BucketLink(),)
    ui_color = "#dbe9f4"

    begins: ClassVar[bool] = False
    needs_bucket: ClassVar[bool] = False
    needs_model_server: ClassVar[bool] = False

    work: Work
    # Only a task that runs has these; thousands of tasks are made only to be looked at.
    request: dict[str, Any] | None = None
    result: StepResult | None = None
    failure: SlipwayError | None = None
    _runtime: Runtime | None = None

    @classmethod
    def of(cls, work: Work, **arguments: Any) -> Self:
        """The task for a planned step; `arguments` are Airflow's own.

        No `__init__` of our own: Airflow wraps each in the hierarchy to merge the defaults once
        more, which for thousands of tasks takes a tenth of the time that parsing takes.
        """
        task = cls(**arguments)
        task.work = work
        return task

    @property
    def spec(self) -> ModelSpec:
        """The model's spec."""
        return self.work.spec

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the step; its StepResult as JSON.

        Raises:
            AirflowSkipException: the run was asked for other variants.
            SlipwayError: the step's failure; `failures.RETRY_POLICY` decides what follows.
        """
        if not is_wanted(self.spec, self.work.planned.variant, context["params"]):
            message = f"{self.work.planned.variant} was not asked for"
            raise AirflowSkipException(message)
        return self._perform(context)

    def on_kill(self) -> None:
        """End the step and everything that it started."""
        if self._runtime is not None:
            self._runtime.stop()

    def _perform(self, context: Context) -> dict[str, Any]:
        try:
            if self.begins:
                refuse_unknown(context, self.dag)
            self.result = result = self._run(context)
        except SlipwayError as error:
            self.failure = error
            leave_failure(context, error)
            raise
        self._after(context, result)
        return result.model_dump(mode="json")

    def _run(self, context: Context) -> StepResult:
        request = self._request(context)
        # What other tasks reported is shown there, and would fill the UI's few kilobytes here.
        self.request = request.model_dump(mode="json", exclude={"results"})
        planned = self.work.planned
        self._runtime = runtime_for(self.spec, planned.step, planned.variant)
        return self._runtime.run(request, environment=self._environment(), on_line=self.log.info)

    def _request(self, context: Context) -> StepRequest:
        return build_request(
            self.spec,
            self.work.spec_file,
            self.work.planned,
            self._outcomes(context),
            workspace=default_workspace(),
            parameters=self._parameters(context),
            force=bool(context["params"].get("force", False)),
        )

    def _outcomes(self, context: Context) -> dict[str, StepOutcome]:
        wanted = [*self.work.planned.inputs.values(), *self.work.planned.reports]
        return outcomes_of(context, wanted)

    def _parameters(self, context: Context) -> dict[str, Any]:
        parameters: dict[str, Any] = {"dag_id": self.dag_id, "run_id": context["run_id"]}
        incoming = context["params"].get(INCOMING)
        return parameters if incoming is None else parameters | {INCOMING: incoming}

    def _environment(self) -> dict[str, str]:
        publish = self.spec.publish
        environment: dict[str, str] = {}
        if self.needs_bucket:
            environment |= bucket_environment(publish.connection, publish.base_uri)
        if self.needs_model_server:
            environment |= model_server_environment(self.spec.serve.connection)
        return environment

    def _after(self, context: Context, result: StepResult) -> None:
        """What a subclass does with the result before it is handed on."""
