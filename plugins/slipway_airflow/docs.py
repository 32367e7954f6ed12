"""What the UI shows as documentation, written from the spec."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from slipway.spec.variants import ORIGINAL

if TYPE_CHECKING:
    from slipway.errors import SlipwayError
    from slipway.spec.model import ModelSpec
    from slipway.spec.plan import PlannedStep


def build_doc(spec: ModelSpec) -> str:
    """Markdown on a build DAG: the variants, what they must reach, where the winner goes."""
    source = "imported" if spec.imported else "trained"
    rows = [f"| {ORIGINAL} | | {source} | yes |"]
    rows += [
        f"| {name} | {variant.source} | {variant.technique} | {'yes' if variant.required else ''} |"
        for name, variant in spec.made_variants.items()
    ]
    return "\n".join(
        [
            f"### {spec.model}: build",
            spec.description,
            "",
            "| variant | made from | by | required |",
            "|---|---|---|---|",
            *rows,
            "",
            f"**Gates:** {_limits(spec.gates.metrics)}; the report says how each variant did.",
            "",
            (
                f"**Winner:** {_objective(spec)}, published under "
                f"`{spec.publish.base_uri}/{spec.model}/`; the newest {spec.publish.keep_versions} "
                "versions stay."
            ),
            "",
            (
                "What has not changed is not computed again, so any task can be cleared at any "
                "time. Start a run with `force` to compute all of it anew."
            ),
        ]
    )


def rollout_doc(spec: ModelSpec) -> str:
    """Markdown on a rollout DAG: what proves the canary, and what happens if nothing does."""
    health = spec.rollout.health
    return "\n".join(
        [
            f"### {spec.model}: rollout",
            spec.description,
            "",
            (
                f"Runs when `{spec.model}__build` has published a version, or by hand with the "
                "version to roll out; without one, with the newest."
            ),
            "",
            (
                f"**Strategy:** {spec.rollout.strategy}, with {spec.rollout.probe.requests} "
                "requests of our own to the canary."
            ),
            "",
            (
                f"**Healthy** is {_limits(health.checks)}, looked at every "
                f"{health.interval_seconds} s over the last {health.window_seconds} s, "
                f"{health.consecutive} times in a row, with at least {health.minimum_requests} "
                f"requests. Not proven after {health.timeout_seconds} s is not healthy."
            ),
            "",
            (
                "Anything else rolls back: stable stays what it was, the evidence is kept, and the "
                "run ends as failed."
            ),
        ]
    )


def rollback_doc(spec: ModelSpec) -> str:
    """Markdown on a rollback DAG: what a person gives, and what follows."""
    return (
        f"### {spec.model}: rollback\n\nMakes a kept version stable again, at once and by hand: "
        "trigger it with the version's number. The version is loaded beside stable, its golden "
        "answers are compared, then the label moves; no request is lost. No health gate: it was "
        "proven when it first became stable. If anything fails the version is withdrawn, and what "
        f"was stable stays.\n\nA later run of `{spec.model}__build` rolls out a newer version "
        f"again: pause `{spec.model}__rollout` until it is mended."
    )


def adopt_doc(spec: ModelSpec) -> str:
    """Markdown on an adoption DAG: when a person needs it, and what follows."""
    where = f"`{spec.publish.base_uri}/{spec.model}/`"
    return (
        f"### {spec.model}: adopt\n\nTakes in a version folder without a manifest that somebody "
        f"copied into {where} by hand. Trigger it with the folder's number. It reads every file, "
        "refuses half a copy and numbers that are taken, binds the number to the content for ever "
        f"and writes the manifest. Then `{spec.model}__rollout` starts, as after a build. Nothing "
        "but a person ever starts it."
    )


def step_doc(planned: PlannedStep) -> str:
    """Markdown on a task: what it does, with which options."""
    options = "\n".join(
        f"| {key} | `{json.dumps(value)}` |" for key, value in planned.config.items()
    )
    return (
        f"{planned.summary}\n\n| option | value |\n|---|---|\n{options}"
        if options
        else planned.summary
    )


def broken_doc(name: str, error: SlipwayError) -> str:
    """Markdown on the DAG that stands in for a model whose spec cannot be used."""
    return f"### {name} cannot be built\n\n```\n{error.message}\n```\n\n{error.hint}."


def _objective(spec: ModelSpec) -> str:
    wanted = spec.objective
    return f"least {wanted.minimise}" if wanted.minimise else f"most {wanted.maximise}"


def _limits(limits: object) -> str:
    """Limits as `name {what: value}`, without those that are not set."""
    values = (
        {name: limit.model_dump(mode="json", exclude_none=True) for name, limit in limits.items()}
        if isinstance(limits, dict)
        else limits.model_dump(mode="json", exclude_none=True)  # type: ignore[attr-defined]
    )
    shown = {name: value for name, value in values.items() if value}
    return ", ".join(f"{name} `{json.dumps(value)}`" for name, value in shown.items())


_INTAKE = """\
### Slipway: intake
Runs when a queue, a subscription or a bucket has brought something, and starts the builds and
rollouts that follow: each version once.

What was decided and why: `slipway events <model>`. An event is run again by a run of this DAG with
the parameters `model` and `replay`.

Paused, it hears nothing; queues keep their messages meanwhile.
"""


def intake_doc() -> str:
    """Markdown on the intake DAG: what its runs are for, and how an event is run again."""
    return _INTAKE
