"""Measure latency, throughput and memory of every variant, beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from slipway.errors import TerminalError
from slipway.evaluation.benchmark import BATCH, measure_variants
from slipway.spec.base import StepConfig
from slipway.steps.base import StepOutput

if TYPE_CHECKING:
    from slipway.evaluation.facts import Benchmark
    from slipway.steps.base import StepContext

LOCK = "benchmark"


class BenchmarkConfig(StepConfig):
    """What is measured."""

    signature: str = Field("serving_default", description="The signature that is served.")


def run(context: StepContext) -> StepOutput:
    """Measure; the figures are in the details, as a `Benchmark`.

    One benchmark at a time on this machine: two would measure each other.

    Raises:
        TerminalError: there is no variant, or none could be measured.
        TransientError: the measuring process died.
    """
    signature = context.config(BenchmarkConfig).signature
    variants = {name: context.input(name) for name in context.request.inputs}
    inputs = context.definition().load_data("test").take(BATCH).inputs
    context.say("waits until no other benchmark runs on this machine")
    with context.workspace.lock(LOCK):
        found = measure_variants(variants, inputs, signature, context.request.seed, context.say)
    for name, problem in found.failures.items():
        context.say(f"{name} could not be measured: {problem}")
    if not found.variants:
        raise TerminalError(
            f"no variant could be measured: {'; '.join(found.failures.values()) or 'none given'}",
            hint="read the validation of the variants first",
            subject="benchmark",
        )
    for name, figures in found.variants.items():
        context.say(f"{name}: p50 {figures.single_thread.p50_ms:.3f} ms")
    return StepOutput(metrics=_figures(found), details=found.model_dump(mode="json"))


def _figures(found: Benchmark) -> dict[str, float]:
    return {
        f"{name}_latency_p50_ms": figures.single_thread.p50_ms
        for name, figures in found.variants.items()
    }
