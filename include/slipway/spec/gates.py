"""What a variant must reach to stay in the race, and how the winner is chosen."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from slipway.spec.base import Ratio, SpecModel

Measure = Literal["latency_p50_ms", "latency_p99_ms", "size_bytes", "compressed_bytes"]


class MetricGate(SpecModel):
    """The limits of one metric on the held-out data."""

    floor: float | None = Field(None, description="The metric's smallest acceptable value.")
    ceiling: float | None = Field(
        None, description="The metric's largest acceptable value, for metrics such as an error."
    )
    largest_drop: float | None = Field(
        None,
        ge=0,
        description="How much worse than the original the variant may be, in the metric's unit.",
    )

    @model_validator(mode="after")
    def _says_something(self) -> MetricGate:
        if self.floor is None and self.ceiling is None and self.largest_drop is None:
            msg = "give at least one of floor, ceiling and largest_drop"
            raise ValueError(msg)
        return self


class SliceGate(SpecModel):
    """The limit for every slice of the held-out data that the model definition names."""

    largest_drop: float = Field(
        ge=0, description="How much worse than the original a gated metric may be on one slice."
    )
    minimum_examples: PositiveInt = Field(
        20, description="A slice with fewer examples is reported but not judged."
    )


class LatencyGate(SpecModel):
    """Limits on the time that one request takes, single thread, batch of one."""

    largest_p50_ms: PositiveFloat | None = Field(None, description="Milliseconds.")
    largest_p99_ms: PositiveFloat | None = Field(None, description="Milliseconds.")
    largest_ratio: PositiveFloat | None = Field(
        None, description="Largest p50 as a multiple of the original's, measured interleaved."
    )


class SizeGate(SpecModel):
    """Limits on the bytes that a server has to load."""

    largest_bytes: PositiveInt | None = Field(None, description="Bytes on disk.")
    largest_ratio: PositiveFloat | None = Field(
        None, description="Largest size as a share of the original's."
    )


class Gates(SpecModel):
    """Every limit that decides a variant's verdict."""

    metrics: dict[str, MetricGate] = Field(
        min_length=1,
        description="By metric: built in (accuracy, log_loss, roc_auc, mean_absolute_error, "
        "mean_squared_error) or defined by the model definition.",
    )
    slices: SliceGate | None = Field(None, description="Limits for each slice; none by default.")
    smallest_agreement: Ratio | None = Field(
        None, description="Smallest share of examples answered as the original answers them."
    )
    latency: LatencyGate | None = Field(None, description="Limits on latency; none by default.")
    size: SizeGate | None = Field(None, description="Limits on size; none by default.")
    confidence: Ratio = Field(0.95, description="Confidence level of the intervals in the report.")


class Objective(SpecModel):
    """How the winner is chosen among the variants that passed. Exactly one of the two."""

    minimise: Measure | None = Field(None, description="The measure that the winner has least of.")
    maximise: str | None = Field(None, description="The metric that the winner has most of.")

    @model_validator(mode="after")
    def _one_direction(self) -> Objective:
        if (self.minimise is None) == (self.maximise is None):
            msg = "give exactly one of minimise and maximise"
            raise ValueError(msg)
        return self
