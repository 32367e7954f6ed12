"""From a planned step to its request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slipway.contracts import ArtifactRef, StepFailure, StepOutcome, StepResult
from slipway.errors import TerminalError, TransientError
from slipway.keys import step_key
from slipway.requests import build_request, definition_module, spec_digest
from slipway.spec.loader import load_spec
from slipway.spec.model import ModelSpec
from slipway.spec.plan import PlannedStep, plan_build, plan_rollout
from support.specs import write_spec

VARIANTS = """
variants:
  pruned: {prune: {}}
  lite: {from: pruned, tflite: {precision: int8}}
"""


def checkout(folder: Path, extra: str = VARIANTS) -> Path:
    """A checkout with one spec and its definition; the spec's file."""
    (folder / "dags" / "models").mkdir(parents=True)
    (folder / "include" / "models").mkdir(parents=True)
    (folder / "include" / "models" / "digits.py").write_text("", "utf-8")
    return write_spec(folder / "dags" / "models", extra=extra)


def planned(file: Path, task_id: str) -> PlannedStep:
    return next(step for step in plan_build(load_spec(file)) if step.task_id == task_id)


def request(file: Path, task_id: str, outcomes: dict[str, StepOutcome] | None = None, **more: Any):
    step = planned(file, task_id)
    workspace = file.parent / "workspace"
    return build_request(load_spec(file), file, step, outcomes or {}, workspace=workspace, **more)


def made(task_id: str, *, artifact: bool = True) -> StepOutcome:
    variant, _, step = task_id.rpartition(".")
    reference = ArtifactRef(kind="keras", digest=f"sha256:{variant}", uri="/a", size_bytes=1)
    kept = reference if artifact else None
    return StepOutcome(result=StepResult(step=step, model="tiny", variant=variant, artifact=kept))


FAILED = StepOutcome(failure=StepFailure(kind="transient", message="no", hint="wait"))


def test_a_technique_gets_the_artifact_that_it_starts_from(tmp_path: Path):
    file = checkout(tmp_path)
    found = request(file, "lite.tflite", {"pruned.prune": made("pruned.prune")})
    assert found.inputs["source"].digest == "sha256:pruned"
    assert found.variant == "lite"
    assert found.config["precision"] == "int8"
    assert found.definition == str(tmp_path / "include" / "models" / "digits.py")


def test_the_failure_of_the_step_before_is_raised_as_it_was(tmp_path: Path):
    file = checkout(tmp_path)
    with pytest.raises(TransientError, match="no -> wait"):
        request(file, "lite.tflite", {"pruned.prune": FAILED})


def test_a_step_whose_source_did_not_run_says_which_one(tmp_path: Path):
    file = checkout(tmp_path)
    with pytest.raises(TerminalError, match=r"lite\.tflite needs the result of pruned\.prune"):
        request(file, "lite.tflite")


def test_a_source_without_an_artifact_is_refused(tmp_path: Path):
    file = checkout(tmp_path)
    with pytest.raises(TerminalError, match="made none"):
        request(file, "lite.tflite", {"pruned.prune": made("pruned.prune", artifact=False)})


def test_benchmark_takes_the_variants_that_there_are(tmp_path: Path):
    file = checkout(tmp_path)
    outcomes = {"original.train_export": made("original.train_export"), "pruned.prune": FAILED}
    assert set(request(file, "benchmark", outcomes).inputs) == {"original"}


def test_benchmark_with_no_variant_at_all_is_refused(tmp_path: Path):
    with pytest.raises(TerminalError, match="no variant was made"):
        request(checkout(tmp_path), "benchmark", {"pruned.prune": FAILED})


def test_select_hears_of_every_step_also_of_those_that_did_not_run(tmp_path: Path):
    file = checkout(tmp_path)
    outcomes = {"original.train_export": made("original.train_export"), "pruned.prune": FAILED}
    results = request(file, "select", outcomes).results
    assert set(results) == set(planned(file, "select").reports)
    assert results["pruned.prune"] == FAILED
    assert results["lite.tflite"].failure.message == "lite.tflite did not run"


def test_publish_does_not_run_without_a_selection(tmp_path: Path):
    file = checkout(tmp_path)
    with pytest.raises(TerminalError, match="select"):
        request(file, "publish")
    with pytest.raises(TransientError):
        request(file, "publish", {"select": FAILED})


def test_an_import_is_keyed_by_content_and_not_by_place(tmp_path: Path):
    keys = []
    for place in ("here", "there"):
        file = checkout(tmp_path / place, "saved_model: exported\n")
        exported = file.parent / "exported"
        exported.mkdir()
        (exported / "saved_model.pb").write_bytes(b"graph")
        found = request(file, "original.import")
        assert Path(found.parameters["spec_folder"], found.config["saved_model"]) == exported
        keys.append(step_key(found))
    assert keys[0] == keys[1]
    (exported / "saved_model.pb").write_bytes(b"another graph")
    assert step_key(request(file, "original.import")) != keys[0]


def test_a_saved_model_that_is_not_there_names_the_field(tmp_path: Path):
    file = checkout(tmp_path, "saved_model: exported\n")
    with pytest.raises(TerminalError) as error:
        request(file, "original.import")
    assert error.value.subject == "saved_model"


def test_the_nearest_definition_wins_and_the_variable_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = checkout(tmp_path)
    nearer = tmp_path / "dags" / "include" / "models"
    nearer.mkdir(parents=True)
    (nearer / "digits.py").write_text("", "utf-8")
    spec = load_spec(file)
    assert definition_module(spec, file) == nearer / "digits.py"
    named = tmp_path / "named"
    named.mkdir()
    monkeypatch.setenv("SLIPWAY_DEFINITIONS", str(named))
    with pytest.raises(TerminalError, match="named") as error:
        definition_module(spec, file)
    assert error.value.subject == "definition"
    (named / "digits.py").write_text("", "utf-8")
    assert definition_module(spec, file) == named / "digits.py"


def test_a_rollout_needs_no_definition(tmp_path: Path):
    file = write_spec(tmp_path)
    spec = load_spec(file)
    for step in plan_rollout(spec):
        found = build_request(spec, file, step, {}, workspace=tmp_path)
        assert found.definition is None


def test_the_digest_of_a_spec_changes_with_any_value(tmp_path: Path):
    plain = load_spec(write_spec(tmp_path))
    seeded = load_spec(write_spec(tmp_path, extra="seed: 2\n"))
    assert spec_digest(plain) == spec_digest(load_spec(write_spec(tmp_path)))
    assert spec_digest(plain) != spec_digest(seeded)
    found = request(checkout(tmp_path / "other"), "check", parameters={"run_id": "r"})
    spec = plain_variants(tmp_path)
    told = found.parameters.pop("spec")  # for the doctor, who alerts nobody
    assert "alerts" not in told
    assert ModelSpec.model_validate(told) == spec
    assert found.parameters == {"run_id": "r", "spec_digest": spec_digest(spec)}


def plain_variants(folder: Path):
    return load_spec(write_spec(folder, extra=VARIANTS))
