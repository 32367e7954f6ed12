"""How the steps run, and where: processes of the worker, or Jobs on a Kubernetes cluster."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from slipway.spec.base import Name, SpecModel
from slipway.spec.kubernetes import DnsLabel, Image, ResourcesSpec, require_pinned

SUBPROCESS = "subprocess"
_BUCKETS = ("s3://", "gs://")


class JobSpec(SpecModel):
    """A place to run steps: each one as a Kubernetes Job."""

    kind: Literal["kubernetes"] = Field(description="Kubernetes: each step is a Job.")
    connection: str = Field("kubernetes_default", description="Airflow connection of the cluster.")
    namespace: DnsLabel = Field(description="Namespace of the Jobs; it must exist.")
    image: Image = Field(
        description="Image with this version of Slipway and what the step needs, by tag or "
        "digest; not latest."
    )
    resources: ResourcesSpec = Field(
        default_factory=ResourcesSpec, description="What the step's container gets."
    )
    node_selector: dict[str, str] = Field(default_factory=dict, description="Nodes to run on.")
    service_account: DnsLabel | None = Field(
        None, description="An existing service account, for workload identity; null: the default."
    )
    workspace_secret: DnsLabel | None = Field(
        None,
        description="Secret in the namespace that opens the workspace bucket, and what else the "
        "step needs: its keys are environment variables (AWS_ACCESS_KEY_ID, ...); for gs:// its "
        "key service-account.json is the file.",
    )
    environment: dict[str, str] = Field(
        default_factory=dict,
        description="Variables of the step: AWS_ENDPOINT_URL, AWS_REGION; no secrets.",
    )
    start_within_seconds: PositiveInt = Field(
        600, description="How long a pod may wait for a node and its image."
    )
    active_deadline_seconds: PositiveInt | None = Field(
        None,
        description="When Kubernetes ends the Job, whoever watches; null: when both time limits, "
        "to start and of the step, have passed.",
    )
    keep_finished_seconds: NonNegativeInt = Field(
        86400, description="How long a finished Job stays whose task never came back for it."
    )

    @field_validator("image")
    @classmethod
    def _is_pinned(cls, value: str) -> str:
        require_pinned("image", value)
        return value


class ExecutionSpec(SpecModel):
    """How the steps run."""

    python: str | None = Field(
        None, description="Interpreter that runs the steps; default: the one that runs Slipway."
    )
    step_timeout_seconds: PositiveInt = Field(3600, description="Time limit of one step.")
    retries: NonNegativeInt = Field(2, description="Further tries after a transient error.")
    retry_delay_seconds: PositiveInt = Field(10, description="Wait before the first further try.")
    parallel_steps: PositiveInt = Field(2, description="How many steps of one run work at once.")
    pool: str | None = Field(
        None,
        min_length=1,
        description="Airflow pool of the build's tasks, so that not all models train at once; it "
        "must exist, or nothing is ever started. Null: Airflow's own.",
    )
    runtimes: dict[Name, JobSpec] = Field(
        default_factory=dict, description="Places to run steps, beside the worker itself, by name."
    )
    run: dict[Name, Name] = Field(
        default_factory=dict,
        description="Which runtime runs what: by step (train, benchmark, ...), or by variant for "
        "all steps that work on it; all else is a subprocess of the worker.",
    )
    workspace_uri: str | None = Field(
        None,
        description="Bucket with which Jobs exchange artifacts and results: s3:// or gs://, with "
        "a prefix if wanted.",
    )
    workspace_connection: str | None = Field(
        None, description="Airflow connection of that bucket; null: the one of publish."
    )

    @model_validator(mode="after")
    def _runs_somewhere(self) -> ExecutionSpec:
        if SUBPROCESS in self.runtimes:
            msg = f"runtimes.{SUBPROCESS}: this name means the worker itself; choose another"
            raise ValueError(msg)
        for name, runtime in self.run.items():
            if runtime != SUBPROCESS and runtime not in self.runtimes:
                known = ", ".join(sorted({SUBPROCESS, *self.runtimes}))
                msg = f"run.{name}: there is no runtime {runtime!r}; allowed: {known}"
                raise ValueError(msg)
        if set(self.run.values()) - {SUBPROCESS}:
            if self.workspace_uri is None:
                msg = "workspace_uri: missing; Jobs exchange artifacts by this bucket"
                raise ValueError(msg)
            if not self.workspace_uri.startswith(_BUCKETS):
                msg = f"workspace_uri: {self.workspace_uri}: a pod reaches s3:// or gs:// only"
                raise ValueError(msg)
        return self
