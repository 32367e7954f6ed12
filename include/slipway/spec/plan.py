"""A spec as a graph of steps: the one picture that Airflow and the command line both draw."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slipway.spec.variants import ORIGINAL

if TYPE_CHECKING:
    from slipway.spec.model import ModelSpec


CHECK = "check"


@dataclass(frozen=True)
class PlannedStep:
    """One step of a graph.

    Attributes:
        task_id: Unique in the graph; a dot parts the group (a variant) from the step.
        step: Name in the registry.
        variant: The variant that it works on, if one.
        config: The step's options, complete and JSON-compatible.
        inputs: Role -> task id of the step whose artifact it takes.
        reports: Task ids of the steps whose outcomes it reads, failed ones too.
        after: Task ids of steps that only have to be over.
        tolerant: Whether it runs although steps before it failed.
        summary: One sentence for people.
    """

    task_id: str
    step: str
    summary: str
    variant: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    reports: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    tolerant: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        """Task ids of the steps that come before it."""
        return tuple(dict.fromkeys((*self.inputs.values(), *self.reports, *self.after)))


def make_task_id(spec: ModelSpec, variant: str) -> str:
    """Task id of the step that makes a variant."""
    if variant == ORIGINAL:
        return f"{ORIGINAL}.{'import' if spec.saved_model else 'train_export'}"
    return f"{variant}.{spec.variants[variant].technique}"


def plan_build(spec: ModelSpec) -> list[PlannedStep]:
    """The steps from training to publishing, in an order in which they can run."""
    check = PlannedStep(
        CHECK,
        "check",
        "Tries the bucket's credentials and reads the model definition, before any work.",
        config=spec.publish.model_dump(mode="json") | {"metrics": sorted(spec.gates.metrics)},
    )
    makes = [_original(spec), *(_make(spec, name) for name in _in_chain_order(spec))]
    checks = [_validate(spec, step) for step in makes]
    benchmark = PlannedStep(
        "benchmark",
        "benchmark",
        "Measures latency, throughput and peak memory of every variant, interleaved.",
        config={"signature": spec.signature},
        inputs={step.variant or "": step.task_id for step in makes},
        after=tuple(step.task_id for step in checks),
        tolerant=True,
    )
    judged = (*makes, *checks, benchmark)
    select = PlannedStep(
        "select",
        "select",
        "Gives every variant its verdict, writes the report and chooses the winner.",
        config=_select_config(spec),
        reports=tuple(step.task_id for step in judged),
        tolerant=True,
    )
    publish = PlannedStep(
        "publish",
        "publish",
        f"Publishes the winner, versioned, under {spec.publish.base_uri}/{spec.model}/.",
        config=spec.publish.model_dump(mode="json"),
        reports=("select",),
    )
    return [check, *judged, select, publish]


def plan_rollout(spec: ModelSpec) -> list[PlannedStep]:
    """The steps from a published version to stable; the health gate stands after `probe`.

    `gc` comes after `promote`, which sets the old stable version free; nothing waits for it.
    """
    config = {
        "base_uri": spec.publish.base_uri,
        "serve": spec.serve.model_dump(mode="json"),
        "rollout": spec.rollout.model_dump(mode="json"),
    }
    chain = [
        ("preflight", "Checks version, digest and fence before anything is touched."),
        ("deploy", "Loads the version beside stable under the label canary."),
        ("probe", "Sends golden and probe requests to the canary."),
        ("promote", "Moves the label and the channel stable to the version."),
        ("rollback", "Withdraws the canary and keeps the evidence."),
    ]
    steps = [PlannedStep(name, name, summary, config=config) for name, summary in chain]
    tidy = PlannedStep(
        "gc",
        "gc",
        f"Removes all but the newest {spec.publish.keep_versions} versions and those that a "
        "channel points to, and what dead publishers left.",
        config=spec.publish.model_dump(mode="json"),
    )
    return [*steps, tidy]


def plan_adopt(spec: ModelSpec) -> list[PlannedStep]:
    """The one step that takes in a folder which a person copied into the bucket."""
    summary = "Reads and checks the folder that `version` names and makes a version of it."
    return [PlannedStep("adopt", "adopt", summary, config=spec.publish.model_dump(mode="json"))]


def _original(spec: ModelSpec) -> PlannedStep:
    task_id = make_task_id(spec, ORIGINAL)
    if spec.saved_model:
        config = {"saved_model": spec.saved_model, "signature": spec.signature}
        summary = "Brings in the SavedModel."
        return PlannedStep(task_id, "import", summary, ORIGINAL, config, after=(CHECK,))
    summary = "Trains the original and exports it as a SavedModel."
    config = spec.train.model_dump(mode="json")
    return PlannedStep(task_id, "train", summary, ORIGINAL, config, after=(CHECK,))


def _make(spec: ModelSpec, name: str) -> PlannedStep:
    variant = spec.variants[name]
    config = variant.config.model_dump(mode="json")
    if "signature" in config and config["signature"] is None:
        config["signature"] = spec.signature
    return PlannedStep(
        make_task_id(spec, name),
        variant.technique,
        f"Makes {name} from {variant.source} by {variant.technique}.",
        name,
        config,
        inputs={"source": make_task_id(spec, variant.source)},
    )


def _validate(spec: ModelSpec, made: PlannedStep) -> PlannedStep:
    config = {
        "metrics": sorted(spec.gates.metrics),
        "confidence": spec.gates.confidence,
        "signature": spec.signature,
    }
    inputs = {"variant": made.task_id, ORIGINAL: make_task_id(spec, ORIGINAL)}
    summary = f"Compares {made.variant} with the original on held-out data and in the model server."
    return PlannedStep(
        f"{made.variant}.validate", "validate", summary, made.variant, config, inputs
    )


def _select_config(spec: ModelSpec) -> dict[str, Any]:
    return {
        "gates": spec.gates.model_dump(mode="json"),
        "objective": spec.objective.model_dump(mode="json"),
        "prefer_tflite_model": spec.serve.prefer_tflite_model,
        "variants": {
            ORIGINAL: {"made_by": make_task_id(spec, ORIGINAL), "required": True, "chain": []},
            **{
                name: {
                    "made_by": make_task_id(spec, name),
                    "required": variant.required,
                    "chain": _chain(spec, name),
                }
                for name, variant in spec.variants.items()
            },
        },
    }


def _chain(spec: ModelSpec, name: str) -> list[str]:
    """The techniques from the original to a variant, in order."""
    links: list[str] = []
    while name != ORIGINAL:
        links.insert(0, spec.variants[name].technique)
        name = spec.variants[name].source
    return links


def _in_chain_order(spec: ModelSpec) -> list[str]:
    """The variants, each after the one that it is made from, otherwise as written."""
    ordered: list[str] = []

    def visit(name: str) -> None:
        if name != ORIGINAL and name not in ordered:
            visit(spec.variants[name].source)
            ordered.append(name)

    for name in spec.variants:
        visit(name)
    return ordered
