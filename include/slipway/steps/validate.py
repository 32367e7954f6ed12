"""Compare a variant with the original on held-out data, and ask it in the model server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from slipway.evaluation.bootstrap import Bootstrap
from slipway.evaluation.compare import (
    agreement,
    align_outputs,
    compare_metrics,
    compare_slices,
    other_interface,
    require_defined,
    slice_masks,
)
from slipway.evaluation.facts import EVALUATION_FILE, Evaluation
from slipway.evaluation.golden import GOLDEN_FILE
from slipway.evaluation.metrics import find_metrics
from slipway.evaluation.runner import open_runner
from slipway.evaluation.serving import ask_server, make_golden
from slipway.evaluation.sizes import compressed_bytes, size_bytes
from slipway.serving.triton import CONFIG_FILE, model_config
from slipway.spec.base import Ratio, StepConfig
from slipway.spec.variants import ORIGINAL
from slipway.steps.base import StepOutput

if TYPE_CHECKING:
    from slipway.evaluation.facts import ServerFacts
    from slipway.evaluation.runner import Runner
    from slipway.steps.base import StepContext


class ValidateConfig(StepConfig):
    """What a variant is asked."""

    metrics: tuple[str, ...] = Field(min_length=1, description="Metrics by name.")
    confidence: Ratio = Field(0.95, description="Level of the intervals.")
    signature: str = Field("serving_default", description="The signature that is served.")


def run(context: StepContext) -> StepOutput:
    """Write evaluation.json and golden.json, and config.pbtxt of what Triton can serve.

    Raises:
        TerminalError: an unknown metric, an input or output of the wrong shape, NaN outputs, or a
            variant that does not load.
    """
    config = context.config(ValidateConfig)
    definition = context.definition()
    metrics = find_metrics(config.metrics, definition)
    test = definition.load_data("test")
    ours, theirs = _open(context, config.signature)
    context.say(f"answers {len(test)} examples of the test split")
    original = theirs.predict(test.inputs)
    answers = original
    if ours is not theirs:
        answers = align_outputs(context.variant, ours.predict(test.inputs), original)
    context.say(f"intervals of {', '.join(config.metrics)} by bootstrap")
    bootstrap = Bootstrap(len(test), context.request.seed, config.confidence)
    found = compare_metrics(metrics, test.labels, answers, original, bootstrap)
    require_defined(context.variant, metrics, found)
    masks = slice_masks(definition, test)
    alike = agreement(test.labels, answers, original)
    context.say("asks golden requests of the model server")
    golden = make_golden(ours, context.request.model, config.signature, test)
    folder = context.input("variant").servable
    evaluation = Evaluation(
        model=context.request.model,
        variant=context.variant,
        examples=len(test),
        confidence=config.confidence,
        resamples=bootstrap.resamples,
        metrics=found,
        slices=compare_slices(masks, metrics, test.labels, answers, original, bootstrap),
        agreement=alike.share,
        agreement_rule=alike.rule,
        largest_difference=alike.largest_difference,
        size_bytes=size_bytes(folder),
        compressed_bytes=compressed_bytes(folder),
        inputs=ours.signature.inputs,
        outputs=ours.signature.outputs,
        other_interface=_other_interface(ours, theirs),
        server=ask_server(context.input("variant"), golden),
        triton_config=_triton_config(context, ours),
    )
    evaluation.write(context.folder / EVALUATION_FILE)
    golden.write(context.folder / GOLDEN_FILE)
    if evaluation.triton_config is not None:
        (context.folder / CONFIG_FILE).write_text(evaluation.triton_config, "utf-8")
    _tell(context, evaluation)
    return StepOutput("report", metrics=_figures(evaluation), details=_facts(evaluation.server))


def _open(context: StepContext, signature: str) -> tuple[Runner, Runner]:
    """The variant and the original; the same one twice if the variant is the original."""
    variant, original = context.input("variant"), context.input(ORIGINAL)
    ours = open_runner(variant, signature, context.variant)
    if variant.digest == original.digest:
        return ours, ours
    return ours, open_runner(original, signature, ORIGINAL)


def _triton_config(context: StepContext, ours: Runner) -> str | None:
    """For ONNX; that of an engine depends on its profiles, and is made when it is published."""
    if context.input("variant").kind != "onnx":
        return None
    signature = ours.signature
    return model_config(context.request.model, "onnx", signature.inputs, signature.outputs)


def _other_interface(ours: Runner, theirs: Runner) -> str | None:
    return other_interface(
        (ours.signature.inputs, ours.signature.outputs),
        (theirs.signature.inputs, theirs.signature.outputs),
    )


def _figures(evaluation: Evaluation) -> dict[str, float]:
    figures: dict[str, float] = {
        "agreement": evaluation.agreement,
        "largest_difference": evaluation.largest_difference,
        "size_bytes": evaluation.size_bytes,
        "compressed_bytes": evaluation.compressed_bytes,
    }
    for name, facts in evaluation.metrics.items():
        figures[name] = facts.value
        figures[f"{name}_drop"] = facts.drop
    return figures


def _facts(server: ServerFacts) -> dict[str, object]:
    return {"server_requests": server.requests, "server_problems": list(server.problems)}


def _tell(context: StepContext, evaluation: Evaluation) -> None:
    for name, facts in evaluation.metrics.items():
        context.say(f"{name} {facts.value:.4f}, drop {facts.drop:+.4f}")
    for problem in evaluation.server.problems:
        context.say(f"model server: {problem}")
