"""Give every variant its verdict, choose the winner and write the report."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from pydantic import Field

from slipway.content import file_digest
from slipway.errors import TerminalError
from slipway.evaluation.facts import EVALUATION_FILE, Benchmark, Evaluation
from slipway.evaluation.golden import GOLDEN_FILE
from slipway.evaluation.limits import VariantFacts
from slipway.evaluation.verdicts import breaks_the_build, choose, judge_all
from slipway.modelling.lite_errors import summary
from slipway.report.content import REPORT_HTML, REPORT_JSON, Report, ReportedVariant
from slipway.report.page import render
from slipway.serving.serve_config.table import tf_trt_tag
from slipway.spec.base import SpecModel, StepConfig
from slipway.spec.gates import Gates, Objective
from slipway.spec.rollout import SERVED_KINDS, ModelServer
from slipway.spec.variants import ORIGINAL
from slipway.steps.base import StepOutput

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from slipway.contracts import StepOutcome, StepResult
    from slipway.evaluation.verdicts import Judgement
    from slipway.steps.base import StepContext

_BENCHMARK = "benchmark"


class Contender(SpecModel):
    """A variant of the race."""

    made_by: str = Field(description="Task id of the step that makes it.")
    required: bool = Field(description="Whether the build fails without it.")
    chain: tuple[str, ...] = Field(description="The techniques from the original to it.")


class SelectConfig(StepConfig):
    """What decides."""

    gates: Gates = Field(description="The limits.")
    objective: Objective = Field(description="How the winner is chosen.")
    prefer_tflite_model: bool = Field(description="Whether the server can serve TFLite.")
    server: ModelServer = Field(
        "tensorflow_serving", description="The model server that serves the winner."
    )
    server_version: str = Field(
        "", description='Version of TensorFlow Serving; "" if the server is another.'
    )
    fallback: str | None = Field(
        None, description="Variant that serves where a winner's TensorRT engines cannot."
    )
    variants: dict[str, Contender] = Field(min_length=1, description="All variants by name.")


def run(context: StepContext) -> StepOutput:
    """Write report.html and report.json, and name the winner.

    Raises:
        TerminalError: a required variant did not pass, or none is left. The report is kept; its
            path is in the error's details.
    """
    config = context.config(SelectConfig)
    found = _benchmark(context)
    variants = [_facts(context, config, name, found) for name in config.variants]
    judged = judge_all(
        variants,
        ORIGINAL,
        config.gates,
        config.objective,
        prefer_tflite_model=config.prefer_tflite_model,
    )
    missing = [judgement for judgement in judged if breaks_the_build(judgement, ORIGINAL)]
    winner = None if missing else choose(variants, judged, config.objective)
    outcome = _outcome(missing, winner, judged)
    report = _report(context, config, found, variants, judged, winner, outcome)
    report.write(context.folder / REPORT_JSON)
    (context.folder / REPORT_HTML).write_text(render(report), "utf-8")
    kept = _keep_copy(context)
    for judgement in judged:
        reasons = "; ".join(reason.text for reason in judgement.reasons)
        context.say(f"{judgement.variant}: {judgement.verdict}{f': {reasons}' if reasons else ''}")
    if winner is None:
        raise TerminalError(
            outcome,
            hint=f"read {kept}; correct the variant, or loosen the limit in the spec's gates",
            subject=missing[0].variant if missing else "gates",
            details={"report": str(kept), "rows": rows(report)},
        )
    context.say(outcome)
    details = {"rows": rows(report), "report": str(kept), **_winner(context, config, report)}
    return StepOutput("report", metrics=details["metrics"], details=details)


def rows(report: Report) -> list[dict[str, Any]]:
    """The table of variants in short, for terminals and logs."""
    return [_row(variant, report) for variant in report.variants]


def _row(variant: ReportedVariant, report: Report) -> dict[str, Any]:
    evaluation, measurement = variant.evaluation, variant.measurement
    facts = evaluation.metrics.get(report.metric) if evaluation else None
    reasons = [reason.text for reason in variant.judgement.reasons]
    if variant.judgement.verdict == "passed" and variant.judgement.not_eligible:
        reasons = [f"cannot win: {variant.judgement.not_eligible}"]
    return {
        "variant": variant.name,
        "metric_name": report.metric,
        "metric": facts.value if facts else None,
        "drop": facts.drop if facts else None,
        "size_bytes": evaluation.size_bytes if evaluation else None,
        "compressed_bytes": evaluation.compressed_bytes if evaluation else None,
        "latency_p50_ms": measurement.single_thread.p50_ms if measurement else None,
        "latency_p99_ms": measurement.single_thread.p99_ms if measurement else None,
        "verdict": variant.judgement.verdict,
        "reason": "; ".join(reasons),
        "winner": variant.winner,
    }


def _benchmark(context: StepContext) -> Benchmark | None:
    outcome = context.request.results.get(_BENCHMARK)
    if outcome is None or outcome.result is None:
        return None
    return Benchmark.model_validate(outcome.result.details)


def _facts(
    context: StepContext, config: SelectConfig, name: str, found: Benchmark | None
) -> VariantFacts:
    contender = config.variants[name]
    results = context.request.results
    made = results.get(contender.made_by)
    validated = results.get(f"{name}.validate")
    failure = _failure(contender.made_by, made) or _failure(f"{name}.validate", validated)
    artifact = made.result.artifact if made and made.result else None
    return VariantFacts(
        name=name,
        required=contender.required,
        tflite=artifact is not None and artifact.kind == "tflite",
        unservable=_unservable(made, config),
        failure=failure,
        evaluation=None if failure or validated is None else _evaluation(validated.unwrap()),
        measurement=found.variants.get(name) if found else None,
        weakest=_weakest(made),
    )


def _weakest(made: StepOutcome | None) -> str:
    """Where the conversion of a variant lost most, as the step that made it found."""
    return summary(made.result.details.get("layer_errors", ())) if made and made.result else ""


def _unservable(made: StepOutcome | None, config: SelectConfig) -> str | None:
    result = made.result if made else None
    if result is None or result.artifact is None:
        return None
    if result.artifact.kind not in SERVED_KINDS[config.server]:
        return f"{result.artifact.kind} is not served by {config.server}"
    if config.server_version and result.details.get("engine", {}).get("backend") == "tf_trt":
        try:
            tf_trt_tag(config.server_version)
        except TerminalError as error:
            return error.message.removesuffix(".")
    return None


def _failure(task_id: str, outcome: StepOutcome | None) -> str | None:
    if outcome is None:
        return f"{task_id} did not run: a step before it failed"
    if outcome.failure is not None:
        return f"{task_id} failed: {outcome.failure.message}"
    return None


def _evaluation(validated: StepResult) -> Evaluation:
    file = _validated_file(validated, EVALUATION_FILE)
    return Evaluation.model_validate_json(file.read_text("utf-8"))


def _validated_file(validated: StepResult, name: str) -> Path:
    file = validated.artifact.path / name if validated.artifact else None
    if file is None or not file.is_file():
        raise TerminalError(
            f"{validated.variant}: the validation left no {name}, or it is gone",
            hint=f"clear {validated.variant}.validate; the workspace was emptied since",
            subject=name,
        )
    return file


def _outcome(missing: list[Judgement], winner: str | None, judged: Iterable[Judgement]) -> str:
    judged = list(judged)
    passed = sum(judgement.verdict == "passed" for judgement in judged)
    count = f"{passed} of {len(judged)} variants passed"
    if missing:
        return "; ".join(
            f"the required variant {judgement.variant} {judgement.verdict}: "
            f"{judgement.reasons[0].text}"
            for judgement in missing
        )
    if winner is None:
        barred = "; ".join(
            f"{judgement.variant}: {judgement.not_eligible}"
            for judgement in judged
            if judgement.verdict == "passed"
        )
        return f"no variant can be published: {barred or count}"
    return f"{count}; {winner} won"


def _report(  # each is a part of the report
    context: StepContext,
    config: SelectConfig,
    found: Benchmark | None,
    variants: Iterable[VariantFacts],
    judged: Iterable[Judgement],
    winner: str | None,
    outcome: str,
) -> Report:
    return Report(
        model=context.request.model,
        original=ORIGINAL,
        winner=winner,
        outcome=f"{outcome[0].upper()}{outcome[1:]}.",
        metric=config.objective.maximise or next(iter(config.gates.metrics)),
        gates=config.gates,
        objective=config.objective,
        cores=found.cores if found else None,
        variants=tuple(
            ReportedVariant(
                name=facts.name,
                chain=config.variants[facts.name].chain,
                winner=facts.name == winner,
                judgement=judgement,
                evaluation=facts.evaluation,
                measurement=facts.measurement,
                benchmark_problem=found.failures.get(facts.name) if found else None,
                made=_made(context, config.variants[facts.name]),
            )
            for facts, judgement in zip(variants, judged, strict=True)
        ),
    )


def _made(context: StepContext, contender: Contender) -> dict[str, Any]:
    """The small facts and figures of the step that made a variant."""
    outcome = context.request.results.get(contender.made_by)
    if outcome is None or outcome.result is None:
        return {}
    found = {**outcome.result.details, **outcome.result.metrics}
    return {
        name: value for name, value in sorted(found.items()) if isinstance(value, (str, int, float))
    }


def _winner(context: StepContext, config: SelectConfig, report: Report) -> dict[str, Any]:
    """What publishing has to know of the winner, and of the variant that serves in its place."""
    won = next(variant for variant in report.variants if variant.winner)
    found = _publishable(context, config, won)
    if found["engine"] is None or config.fallback is None:
        return found
    other = next(variant for variant in report.variants if variant.name == config.fallback)
    if other.judgement.verdict != "passed":
        context.say(f"{other.name} did not pass, so the engines of {won.name} have no fallback")
        return found
    return {**found, "fallback": _publishable(context, config, other)}


def _publishable(
    context: StepContext, config: SelectConfig, variant: ReportedVariant
) -> dict[str, Any]:
    results = context.request.results
    validated = results[f"{variant.name}.validate"].unwrap()
    golden = _validated_file(validated, GOLDEN_FILE)
    made = results[config.variants[variant.name].made_by].unwrap()
    metrics = dict(validated.metrics)
    if variant.measurement:
        times = variant.measurement.single_thread
        metrics["latency_p50_ms"] = times.p50_ms
        if times.p99_ms is not None:
            metrics["latency_p99_ms"] = times.p99_ms
    evaluation = _evaluation(validated)
    return {
        "winner": variant.name,
        "winner_artifact": made.artifact.model_dump(mode="json") if made.artifact else None,
        "golden": {"uri": str(golden), "digest": file_digest(golden)},
        "metrics": metrics,
        "chain": list(variant.chain),
        "inputs": {name: each.model_dump() for name, each in evaluation.inputs.items()},
        "outputs": {name: each.model_dump() for name, each in evaluation.outputs.items()},
        "max_batch_size": made.details.get("max_batch_size"),
        "engine": made.details.get("engine"),
    }


def _keep_copy(context: StepContext) -> Path:
    """The report's place in the workspace, also if the step goes on to fail."""
    with context.workspace.staging() as folder:
        shutil.copytree(context.folder, folder, dirs_exist_ok=True)
        return context.workspace.keep(folder, "report").path / REPORT_HTML
