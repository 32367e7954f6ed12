"""The spec of one model: everything that its YAML may say."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from slipway.registry import BUILD_STEPS
from slipway.spec.alerts import Alert
from slipway.spec.base import Name, SpecModel
from slipway.spec.events import EventSpec, event_problem
from slipway.spec.execution import SUBPROCESS, ExecutionSpec
from slipway.spec.gates import Gates, Objective
from slipway.spec.incoming import IncomingSpec
from slipway.spec.rollout import SERVED_KINDS, PublishSpec, RolloutSpec, ServeSpec
from slipway.spec.variants import ORIGINAL, Variant, chain_problems
from slipway.steps.train import TrainConfig


class ModelSpec(SpecModel):
    """One model: from its definition to a healthy rollout."""

    schema_version: ClassVar[int] = 1

    model: Name = Field(description="The model's name; also the name of the YAML file.")
    description: str = Field("", description="What the model does, for the people who find it.")
    owner: str = Field("slipway", min_length=1, description="Who answers for the model.")
    schedule: str | None = Field(
        None,
        description="When to build: a cron expression or @daily and the like; null: on demand.",
    )
    events: tuple[EventSpec, ...] = Field(
        (), description="What else starts runs, beside the schedule."
    )
    definition: Name = Field(
        description="The model definition: <definition>.py in include/models/."
    )
    saved_model: str | None = Field(
        None,
        description="Folder of an exported SavedModel that is brought in instead of trained, "
        "relative to the spec. The definition then only gives data and metrics.",
    )
    incoming: IncomingSpec | None = Field(
        None,
        description="Where others drop SavedModels that are brought in instead of trained; null: "
        "nowhere. The definition then only gives data and metrics.",
    )
    signature: str = Field("serving_default", description="The signature that is served.")
    seed: NonNegativeInt = Field(1, description="Seed of everything random.")
    train: TrainConfig = Field(
        default_factory=TrainConfig, description="How the original is trained."
    )
    variants: dict[Name, Variant] = Field(
        default_factory=dict, description="The variants by name, each one link of a chain."
    )
    gates: Gates = Field(description="What a variant must reach to stay in the race.")
    objective: Objective = Field(description="How the winner is chosen.")
    publish: PublishSpec = Field(description="The bucket that servers follow.")
    serve: ServeSpec = Field(default_factory=ServeSpec, description="The model server.")
    rollout: RolloutSpec = Field(description="How a published version takes over.")
    execution: ExecutionSpec = Field(
        default_factory=ExecutionSpec, description="How the steps run."
    )
    alerts: tuple[Alert, ...] = Field(
        (), description="Who is told when a run of the model fails or is late."
    )
    deadline_seconds: PositiveInt | None = Field(
        None, description="When a run that has not ended is late; null: never."
    )

    @field_validator("schedule")
    @classmethod
    def _is_a_schedule(cls, value: str | None) -> str | None:
        presets = ("@once", "@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@continuous")
        if value is None or value in presets:
            return value
        from croniter import CroniterError, croniter

        try:
            croniter(value)
        except CroniterError as error:
            msg = f"no cron expression of five fields ({error}), nor one of {', '.join(presets)}"
            raise ValueError(msg) from None
        return value

    @model_validator(mode="after")
    def _events_fit(self) -> ModelSpec:
        incoming = self.incoming.uri if self.incoming else None
        problem = event_problem(self.events, incoming, self.schedule)
        if problem is not None:
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _deadlines_come(self) -> ModelSpec:
        for index, alert in enumerate(self.alerts):
            if alert.when == ("deadline",) and self.deadline_seconds is None:
                msg = f"alerts.{index}.when: without deadline_seconds no run is late, and nobody "
                raise ValueError(msg + "is told; give deadline_seconds, or add failure")
        return self

    @model_validator(mode="after")
    def _gated_metric_decides(self) -> ModelSpec:
        wanted = self.objective.maximise
        if wanted is not None and wanted not in self.gates.metrics:
            known = ", ".join(self.gates.metrics)
            msg = f"objective.maximise: {wanted!r} is not a metric of gates.metrics ({known})"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _strategy_has_a_cluster(self) -> ModelSpec:
        if self.rollout.strategy != "in_place" and self.serve.kubernetes is None:
            msg = f"rollout.strategy: {self.rollout.strategy} needs serve.kubernetes"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _triton_is_rolled_out_by_version(self) -> ModelSpec:
        if self.serve.server != "triton" or self.serve.kubernetes is None:
            return self
        if self.rollout.strategy == "in_place":
            msg = (
                "rollout.strategy: in_place leads clients by version labels, which Triton does "
                "not have; use canary or blue_green"
            )
            raise ValueError(msg)
        if self.rollout.health.checks.load_failures is not None:
            msg = (
                "rollout.health.checks.load_failures: Triton does not count them (a version that "
                "does not load ends its pods, and deploy says so); check error_ratio or latency"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _fits_a_cluster(self) -> ModelSpec:
        if self.serve.kubernetes is None:
            return self
        if self.publish.base_uri.startswith("file://"):
            msg = "publish.base_uri: pods cannot read a folder of this machine; publish to s3:// "
            raise ValueError(msg + "or gs://")
        if self.serve.reads == "direct" and not self.publish.base_uri.startswith("gs://"):
            msg = "serve.reads: pods read s3:// through `slipway sync`; write sync, or nothing"
            raise ValueError(msg)
        if self.model.endswith("_"):
            msg = f"model: {self.model!r} names a Service, which may not end with _"
            raise ValueError(msg)
        if re.search(r"_v[0-9]+$", self.model):
            msg = f"model: {self.model!r} reads like a version's Deployment; end it otherwise"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _runs_what_there_is(self) -> ModelSpec:
        known = {ORIGINAL, *self.variants, *BUILD_STEPS}
        for name in self.execution.run:
            if name not in known:
                allowed = ", ".join(sorted(known))
                msg = f"execution.run.{name}: no step of the build or variant; allowed: {allowed}"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _fallback_can_take_over(self) -> ModelSpec:
        name, server = self.serve.fallback, self.serve.server
        if name is None:
            return self
        if name != ORIGINAL and name not in self.variants:
            known = ", ".join([ORIGINAL, *self.variants])
            msg = f"serve.fallback: there is no variant {name!r}; there are {known}"
            raise ValueError(msg)
        if name != ORIGINAL and self.variants[name].technique == "tensorrt":
            msg = f"serve.fallback: {name} has engines itself, which fit no other hardware either"
            raise ValueError(msg)
        if self.artifact_kind(name) not in SERVED_KINDS[server]:
            msg = f"serve.fallback: {name} is {self.artifact_kind(name)}, not served by {server}"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _incoming_comes_from_somewhere(self) -> ModelSpec:
        if self.incoming is None:
            return self
        if self.incoming.uri is None and self.saved_model is None:
            msg = "incoming.uri: give the place where models are dropped, or saved_model"
            raise ValueError(msg)
        if self.incoming.uri is not None and _overlap(self.incoming.uri, self.published_uri):
            msg = f"incoming.uri: {self.incoming.uri} overlaps {self.published_uri}, which holds "
            raise ValueError(msg + "the published versions; give a place of its own")
        return self

    @property
    def imported(self) -> bool:
        """Whether the original is a SavedModel that is brought in, instead of trained."""
        return self.saved_model is not None or self.incoming is not None

    @property
    def made_variants(self) -> dict[str, Variant]:
        """The variants that a build makes: none where what is brought in stays as it is."""
        return self.variants if self.incoming is None or self.incoming.optimise else {}

    @property
    def published_uri(self) -> str:
        """The folder of the published versions."""
        return f"{self.publish.base_uri.rstrip('/')}/{self.model}"

    def chain_problems(self) -> list[tuple[str, str]]:
        """What is wrong with the variants' chains: pairs of field path and message."""
        return chain_problems(self.variants, trained=not self.imported)

    def gate_problems(self) -> list[tuple[str, str]]:
        """Why the health gate could pass no version: pairs of field path and message."""
        probe, health = self.rollout.probe, self.rollout.health
        problems = []
        # There is at least one golden request beside them.
        if probe.requests + 1 < health.enough_requests:
            message = (
                f"{probe.requests} are too few to pass the health gate, which takes "
                f"{health.enough_requests} of a healthy canary; give more, or leave it out"
            )
            problems.append(("rollout.probe.requests", message))
        slow = health.promise is not None and probe.rate_per_second < health.requests_per_second
        if slow and "requests_per_second" not in health.model_fields_set:
            message = (
                f"{probe.rate_per_second:g} a second are fewer than the "
                f"{health.requests_per_second:g} on which the promise rests; give more, or "
                "health.requests_per_second"
            )
            problems.append(("rollout.probe.rate_per_second", message))
        return problems

    def artifact_kind(self, variant: str) -> str:
        """Kind of a variant's artifact: keras, saved_model, tflite, onnx or tensorrt."""
        if variant == ORIGINAL:
            return "saved_model" if self.imported else "keras"
        return self.variants[variant].produces

    def runtime_of(self, step: str, variant: str | None) -> str:
        """Name of the runtime in which a step runs; a variant's choice goes before a step's."""
        chosen = self.execution.run
        return chosen.get(variant or "") or chosen.get(step) or SUBPROCESS

    def rendered(self) -> dict[str, Any]:
        """The spec as JSON values, with every default filled in."""
        return self.model_dump(mode="json", by_alias=True)


def _overlap(one: str, other: str) -> bool:
    """Whether one of two addresses is the other or lies below it."""
    one, other = f"{one.rstrip('/')}/", f"{other.rstrip('/')}/"
    return one.startswith(other) or other.startswith(one)
