"""A spec as a graph of steps: the one picture that Airflow and the command line both draw."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slipway.spec.variants import ORIGINAL

if TYPE_CHECKING:
    from slipway.spec.model import ModelSpec


CHECK = "check"
HEALTH = "health"
APPROVE = "approve"
_AROUND = frozenset({"preflight", "rollback", "gc"})


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
        gate: Task id of the health gate that stands behind it, if one does.
        approval: Task id of the approval that a person gives before it, if one does.
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
    gate: str | None = None
    approval: str | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Task ids of the steps that come before it."""
        return tuple(dict.fromkeys((*self.inputs.values(), *self.reports, *self.after)))


def make_task_id(spec: ModelSpec, variant: str) -> str:
    """Task id of the step that makes a variant."""
    if variant == ORIGINAL:
        return f"{ORIGINAL}.{'import' if spec.imported else 'train_export'}"
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
        approval=APPROVE if spec.publish.approval else None,
    )
    return [check, *judged, select, publish]


def plan_rollout(spec: ModelSpec) -> list[PlannedStep]:
    """The steps from a published version to stable, with the health gates that stand behind them.

    `gc` comes after `promote`, which sets the old stable version free; nothing waits for it.
    """
    config = {
        "base_uri": spec.publish.base_uri,
        "serve": spec.serve.model_dump(mode="json"),
        "rollout": spec.rollout.model_dump(mode="json"),
    }

    def step(name: str, summary: str, **more: Any) -> PlannedStep:
        return PlannedStep(name, name, summary, config=config, **more)

    shifts = [
        PlannedStep(
            f"{group}.shift",
            "shift",
            f"Gives the canary {share:.0%} of the requests.",
            config={**config, "share": share},
            gate=f"{group}.{HEALTH}",
            approval=f"{group}.{APPROVE}" if approval else None,
        )
        for group, share, approval in _shares(spec)
    ]
    tidy = PlannedStep(
        "gc",
        "gc",
        f"Removes all but the newest {spec.publish.keep_versions} versions and those that a "
        "channel points to, and what dead publishers left.",
        config=spec.publish.model_dump(mode="json"),
    )
    return [
        step("preflight", "Checks version, digest and fence before anything is touched."),
        step("deploy", "Loads the version beside stable under the label canary."),
        step("probe", "Sends golden and probe requests to the canary.", gate=HEALTH),
        *shifts,
        step(
            "promote",
            "Moves the label and the channel stable to the version.",
            approval=APPROVE if spec.rollout.approval else None,
        ),
        step("rollback", "Withdraws the canary and keeps the evidence."),
        tidy,
    ]


def plan_rollback(spec: ModelSpec) -> list[PlannedStep]:
    """The steps back to a kept version: those of a rollout without its gates and shares.

    The probe asks golden requests only: the version was judged when it first became stable.
    """
    config = {
        "base_uri": spec.publish.base_uri,
        "serve": spec.serve.model_dump(mode="json"),
        "rollout": spec.rollout.model_copy(
            update={"probe": spec.rollout.probe.model_copy(update={"requests": 0})}
        ).model_dump(mode="json"),
    }
    steps = {
        "preflight": "Checks that the version is kept and whole, before anything is touched.",
        "deploy": "Loads the version beside stable under the label canary.",
        "probe": "Compares its answers to the golden requests.",
        "promote": "Moves the label and the channel stable to the version.",
    }
    back = [PlannedStep(name, name, summary, config=config) for name, summary in steps.items()]
    summary = "Withdraws the version; what was stable stays."
    return [*back, PlannedStep("withdraw", "rollback", summary, config=config)]


def rollout_gates(spec: ModelSpec) -> list[str]:
    """Task ids of a rollout's health gates, in the order in which they stand."""
    return [step.gate for step in plan_rollout(spec) if step.gate is not None]


def rollout_tasks(spec: ModelSpec) -> list[str]:
    """Task ids of all that comes between preflight and rollback, in that order."""
    found = [
        (step.approval, step.task_id, step.gate)
        for step in plan_rollout(spec)
        if step.step not in _AROUND
    ]
    return [task_id for step in found for task_id in step if task_id is not None]


def _shares(spec: ModelSpec) -> list[tuple[str, float, bool]]:
    """Group, share and whether a person is asked, of every shift of requests before promotion."""
    if spec.rollout.strategy == "canary":
        steps = spec.rollout.canary.steps
        return [(f"step_{i}", each.share, each.approval) for i, each in enumerate(steps, 1)]
    # All requests go over at once, and stable's pods stay until that is judged too.
    return [("switch", 1.0, False)] if spec.rollout.strategy == "blue_green" else []


def plan_adopt(spec: ModelSpec) -> list[PlannedStep]:
    """The one step that takes in a folder which a person copied into the bucket."""
    summary = "Reads and checks the folder that `version` names and makes a version of it."
    allowed = spec.incoming.allow_operations if spec.incoming else ()
    config = spec.publish.model_dump(mode="json") | {"allow_operations": sorted(set(allowed))}
    return [PlannedStep("adopt", "adopt", summary, config=config)]


def _original(spec: ModelSpec) -> PlannedStep:
    task_id = make_task_id(spec, ORIGINAL)
    if spec.imported:
        config: dict[str, Any] = {"saved_model": spec.saved_model, "signature": spec.signature}
        if spec.incoming is not None:
            config |= {
                "allow_operations": sorted(set(spec.incoming.allow_operations)),
                "largest_bytes": spec.incoming.largest_bytes,
                "marker": spec.incoming.marker,
            }
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
        "server": spec.serve.server,
        "server_version": spec.serve.server_version,
        "fallback": spec.serve.fallback,
        "variants": {
            ORIGINAL: {"made_by": make_task_id(spec, ORIGINAL), "required": True, "chain": []},
            **{
                name: {
                    "made_by": make_task_id(spec, name),
                    "required": variant.required,
                    "chain": _chain(spec, name),
                }
                for name, variant in spec.made_variants.items()
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

    for name in spec.made_variants:
        visit(name)
    return ordered
