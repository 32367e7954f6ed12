from __future__ import annotations

from typing import TYPE_CHECKING

from typer.testing import CliRunner

from slipway.build import what_stopped
from slipway.cli.main import app
from slipway.contracts import StepFailure, StepOutcome, StepRequest, StepResult
from slipway.keys import step_key
from slipway.spec.loader import load_spec
from slipway.spec.plan import plan_build
from support.specs import PROJECT, write_spec

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

GOOD = StepOutcome(result=StepResult(step="x", model="tiny"))


def failed(message: str) -> StepOutcome:
    return StepOutcome(failure=StepFailure(kind="transient", message=message, hint="h"))


def test_a_build_ends_with_what_stopped_the_original(tmp_path: Path) -> None:
    plan = plan_build(load_spec(write_spec(tmp_path)))
    outcomes = {"check": failed("no answer"), "benchmark": failed("b"), "select": failed("s")}
    found = what_stopped(plan, outcomes)
    assert found is not None
    assert found.message == "no answer"


def test_a_build_that_published_was_not_stopped(tmp_path: Path) -> None:
    plan = plan_build(load_spec(write_spec(tmp_path, extra="variants: {a: {tflite: {}}}\n")))
    outcomes = {step.task_id: GOOD for step in plan} | {"a.tflite": failed("an op")}
    assert what_stopped(plan, outcomes) is None


def test_a_dead_endpoint_is_transient_and_said_in_one_json_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("SLIPWAY_DEFINITIONS", str(PROJECT / "include/models"))
    spec = write_spec(tmp_path, extra="execution: {retries: 0}\n")
    done = CliRunner().invoke(app, ["run", str(spec), "--json", "--workspace", str(tmp_path / "w")])
    assert done.exit_code == 75
    error = json.loads(done.stdout)["error"]
    assert error["kind"] == "transient"
    assert error["hint"]
    assert "original.train_export" not in json.loads(done.stdout)["outcomes"]


def test_two_models_with_one_definition_share_no_result(tmp_path: Path) -> None:
    definition = tmp_path / "tiny.py"
    definition.write_text("")
    requests = [
        StepRequest(step="train", model=model, definition=str(definition), workspace=str(tmp_path))
        for model in ("one", "other")
    ]
    assert step_key(requests[0]) != step_key(requests[1])
