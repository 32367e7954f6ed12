from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from slipway.spec.loader import load_spec
from slipway.spec.plan import plan_build, plan_rollout
from support.specs import PROJECT, write_spec

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

DIGITS = PROJECT / "dags/models/digits.yaml"


def test_every_variant_is_made_and_validated_once() -> None:
    spec = load_spec(DIGITS)
    steps = plan_build(spec)
    made = [step.variant for step in steps if step.variant and step.step != "validate"]
    checked = [step.variant for step in steps if step.step == "validate"]
    assert sorted(map(str, made)) == sorted(["original", *spec.variants])
    assert made == checked


def test_steps_stand_after_what_they_need() -> None:
    seen: set[str] = set()
    for step in plan_build(load_spec(DIGITS)):
        assert seen.issuperset(step.needs)
        seen.add(step.task_id)


def test_nothing_is_trained_before_the_bucket_was_checked() -> None:
    steps = {step.task_id: step for step in plan_build(load_spec(DIGITS))}
    assert steps["original.train_export"].needs == ("check",)
    assert steps["check"].config["base_uri"] == "s3://slipway-models"


def test_benchmark_and_select_run_although_a_variant_failed() -> None:
    tolerant = [step.task_id for step in plan_build(load_spec(DIGITS)) if step.tolerant]
    assert tolerant == ["benchmark", "select"]


def test_an_imported_saved_model_is_not_trained(tmp_path: Path) -> None:
    steps = plan_build(load_spec(write_spec(tmp_path, extra="saved_model: exported\n")))
    assert [step.step for step in steps if step.variant == "original"] == ["import", "validate"]


@given(order=st.permutations(["a", "b", "c", "d"]))
def test_chains_are_ordered_however_they_are_written(
    tmp_path_factory: pytest.TempPathFactory, order: list[str]
) -> None:
    links = {"a": "original", "b": "a", "c": "b", "d": "c"}
    lines = [f"  {name}: {{from: {links[name]}, prune: {{}}}}" for name in order]
    folder = tmp_path_factory.mktemp("chains")
    spec = load_spec(write_spec(folder, extra="variants:\n" + "\n".join(lines) + "\n"))
    made = [step.variant for step in plan_build(spec) if step.step == "prune"]
    assert made == ["a", "b", "c", "d"]


def test_a_rollout_goes_from_preflight_to_promotion_or_rollback() -> None:
    names = [step.task_id for step in plan_rollout(load_spec(DIGITS))]
    assert names == ["preflight", "deploy", "probe", "promote", "rollback", "gc"]
