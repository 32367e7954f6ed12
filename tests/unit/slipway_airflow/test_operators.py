"""What an operator does beside running its step."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, Asset
from airflow.sdk.execution_time.context import NEVER_EXPIRE, TriggeringAssetEventsAccessor

from slipway.contracts import StepResult
from slipway.errors import TerminalError, TransientError
from slipway.serving.publish import publish
from slipway.spec.loader import load_spec
from slipway.spec.plan import plan_rollout
from slipway.storage import open_store

if TYPE_CHECKING:
    from slipway.spec.model import ModelSpec
from slipway_airflow.operators.approval import PublishApprovalOperator, RolloutApprovalOperator
from slipway_airflow.operators.base import Work
from slipway_airflow.operators.deploy import DeployOperator
from slipway_airflow.operators.preflight import PreflightOperator
from slipway_airflow.operators.promote import PromoteOperator
from slipway_airflow.operators.rollback import RollbackOperator
from slipway_airflow.outcomes import outcomes_of
from support.specs import write_spec

SLEEPER = """#!/bin/sh
sleep 600 &
echo $! > "{folder}/child"
wait
"""
RESULT = {"step": "train", "model": "tiny", "details": {}}
SETTLED: dict[tuple[str, str], Any] = {("preflight", "settled"): {"version": 1, "digest": "d"}}
FAILURE = {"kind": "terminal", "message": "no", "hint": "stop", "details": {}}


class Task:
    """A task instance among others of its run."""

    dag_id, run_id = "tiny__build", "run"

    def __init__(self, states: dict[str, str], left: dict[tuple[str, str], Any]) -> None:
        self.states = states
        self.left = left

    def get_task_states(self, **_: Any) -> dict[str, Any]:
        return {self.run_id: self.states}

    def xcom_pull(self, *, task_ids: str, key: str = "return_value") -> Any:
        return self.left.get((task_ids, key))

    def xcom_push(self, *, key: str, value: Any) -> None:
        self.left["self", key] = value


class StateStore(dict[str, Any]):
    """A task's state store, which outlives its XComs."""

    def set(self, key: str, value: Any, *, retention: Any) -> None:
        assert retention is NEVER_EXPIRE
        self[key] = value


def context(task: Task, **more: Any) -> Any:
    own = {"ti": task, "run_id": "run", "params": {}, "triggering_asset_events": {}}
    return {**own, "task_state_store": StateStore(), **more}


def operator(cls: type, spec: ModelSpec, file: Path) -> Any:
    planned = next(
        step for step in plan_rollout(spec) if cls.__name__.lower().startswith(step.step)
    )
    dag = DAG("tiny__rollout", schedule=None)
    return cls.of(Work(spec, file, planned), task_id=planned.step, dag=dag)


def test_what_a_task_left_before_it_was_cleared_is_not_its_outcome_now():
    states = {"a": "success", "b": "upstream_failed", "c": "failed", "d": "failed", "e": "skipped"}
    left = {
        ("a", "return_value"): RESULT,
        ("b", "return_value"): RESULT,
        ("c", "failure"): FAILURE,
        ("e", "failure"): FAILURE,
    }
    outcomes = outcomes_of(context(Task(states, left)), ["a", "b", "c", "d", "e", "a"])
    assert set(outcomes) == {"a", "c", "d"}
    assert outcomes["a"].result is not None
    assert outcomes["c"].failure is not None
    assert outcomes["c"].failure.message == "no"
    assert outcomes["d"].failure is not None
    assert "without a word" in outcomes["d"].failure.message


def test_what_follows_an_approval_is_rolled_back_with_its_reason(tmp_path: Path):
    file = write_spec(tmp_path, extra="  approval: true\n")
    rollback = operator(RollbackOperator, load_spec(file), file)
    left = {
        **SETTLED,
        ("preflight", "return_value"): {"step": "preflight", "model": "tiny", "details": {}},
        ("approve", "return_value"): {"version": 1, "digest": "d", "approved_by": "somebody"},
        ("promote", "failure"): FAILURE,
    }
    states = {"preflight": "success", "approve": "success", "promote": "failed"}
    assert rollback._parameters(context(Task(states, left)))["reason"] == "no"


def test_killing_a_task_ends_all_that_its_step_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    script = tmp_path / "python"
    script.write_text(SLEEPER.format(folder=tmp_path), "utf-8")
    script.chmod(0o755)
    server = '{"conn_type": "http", "host": "h"}'
    monkeypatch.setenv("AIRFLOW_CONN_MODEL_SERVER_DEFAULT", server)
    monkeypatch.setenv("SLIPWAY_WORKSPACE", str(tmp_path / "workspace"))
    extra = f"execution: {{python: {script}}}\n"
    file = write_spec(tmp_path, extra=extra)
    file.write_text(file.read_text("utf-8").replace("s3://models", f"file://{tmp_path}/b"), "utf-8")
    deploy = operator(DeployOperator, load_spec(file), file)
    task = Task({"preflight": "success"}, dict(SETTLED))
    ended: list[BaseException] = []

    def run() -> None:
        try:
            type(deploy).execute.__wrapped__(deploy, context(task))
        except TransientError as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    child = int(_appears(tmp_path / "child"))
    deploy.on_kill()
    thread.join(20)
    assert not thread.is_alive()
    assert "SIGTERM" in str(ended[0])
    assert task.left["self", "failure"]["kind"] == "transient"
    assert _gone(child)


def test_killing_a_task_that_has_not_begun_is_no_error(tmp_path: Path):
    file = write_spec(tmp_path)
    operator(DeployOperator, load_spec(file), file).on_kill()


@pytest.mark.parametrize(
    ("extras", "params", "expected"),
    [
        ([{"version": 2, "digest": "b"}, {"version": 1, "digest": "a"}], {}, (2, "b")),
        ([{"version": 2, "digest": "b"}], {"version": 7, "digest": "z"}, (2, "b")),
        ([], {"version": 7, "digest": "z"}, (7, "z")),
    ],
)
def test_preflight_settles_what_the_events_or_the_person_ask_for(
    tmp_path: Path,
    extras: list[dict[str, Any]],
    params: dict[str, Any],
    expected: tuple[int, str],
):
    file = write_spec(tmp_path)
    preflight = operator(PreflightOperator, load_spec(file), file)
    asset = Asset(name="tiny", uri="x-slipway://tiny")
    events = [SimpleNamespace(asset=asset, extra=extra, source_aliases=[]) for extra in extras]
    task = Task({}, {})
    accessor = TriggeringAssetEventsAccessor.build(events)
    found = preflight._parameters(context(task, params=params, triggering_asset_events=accessor))
    assert (found["version"], found["digest"]) == expected
    assert task.left["self", "settled"] == {"version": expected[0], "digest": expected[1]}
    assert found["rollout_id"] == "run"
    assert found["allow_older"] is False


def test_a_cleared_preflight_keeps_the_version_that_it_settled(tmp_path: Path):
    file = published_to(tmp_path)
    publish_version(tmp_path, "first")
    first, store = Task({}, {}), StateStore()
    assert settled(file, first, store)["version"] == 1
    publish_version(tmp_path, "second")
    cleared = Task({}, {})
    assert settled(file, cleared, store) == first.left["self", "settled"]
    assert cleared.left == first.left
    assert settled(file, Task({}, {}), StateStore())["version"] == 2, "another run takes the newest"


def published_to(folder: Path) -> Path:
    file = write_spec(folder)
    text = file.read_text("utf-8").replace("s3://models", f"file://{folder}/bucket")
    file.write_text(text, "utf-8")
    return file


def publish_version(folder: Path, content: str) -> None:
    source = folder / content
    source.mkdir()
    (source / "saved_model.pb").write_text(content, "utf-8")
    store = open_store(f"file://{folder}/bucket")
    publish(store, "tiny", source, variant="original", metrics={}, golden=b"{}")


def settled(file: Path, task: Task, store: StateStore) -> dict[str, Any]:
    preflight = operator(PreflightOperator, load_spec(file), file)
    found = preflight._parameters(context(task, task_state_store=store))
    return {name: found[name] for name in ("version", "digest")}


def test_without_the_gate_s_decision_nothing_is_promoted(tmp_path: Path):
    file = write_spec(tmp_path)
    promote = operator(PromoteOperator, load_spec(file), file)
    by_hand = Task({"preflight": "success", "health": "success"}, dict(SETTLED))
    with pytest.raises(TerminalError, match="left no decision") as refused:
        type(promote).execute.__wrapped__(promote, context(by_hand))
    assert refused.value.subject == "health"
    assert by_hand.left["self", "failure"]["kind"] == "terminal"


def test_without_an_approval_nothing_goes_on_and_with_one_its_digest_does(tmp_path: Path):
    extra = "  strategy: canary\n  approval: true\nserve: {kubernetes: {namespace: models}}\n"
    file = write_spec(tmp_path, extra=extra)
    spec = load_spec(file)
    (planned,) = [step for step in plan_rollout(spec) if step.step == "promote"]
    promote = PromoteOperator.of(Work(spec, file, planned), task_id="promote")
    judged = StepResult(
        step="health", model="tiny", details={"decision": {"verdict": "healthy"}}
    ).model_dump(mode="json")
    left = {**SETTLED, ("step_2.health", "return_value"): judged}
    task = Task({"preflight": "success", "step_2.health": "success"}, left)
    with pytest.raises(TerminalError, match="left no approval") as refused:
        promote._parameters(context(task))
    assert refused.value.subject == "approve"
    left["approve", "return_value"] = {"digest": "d" * 64}
    approved = Task({"preflight": "success", "step_2.health": "success"}, left)
    assert promote._parameters(context(approved))["approved"] == "d" * 64


def test_the_gate_s_decision_is_handed_to_promote(tmp_path: Path):
    file = write_spec(tmp_path)
    promote = operator(PromoteOperator, load_spec(file), file)
    decision = {"verdict": "healthy"}
    judged = StepResult(step="health", model="tiny", details={"decision": decision})
    left = {**SETTLED, ("health", "return_value"): judged.model_dump(mode="json")}
    task = Task({"preflight": "success", "health": "success"}, left)
    assert promote._parameters(context(task))["decision"] == decision


def _appears(file: Path) -> str:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if file.is_file() and (text := file.read_text("utf-8").strip()):
            return text
        time.sleep(0.02)
    raise AssertionError(f"{file} did not appear")


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("event", "settled_later", "said"),
    [
        ({"chosen_options": ["Approve"]}, "d" * 64, None),
        ({"chosen_options": ["Reject"]}, "d" * 64, "ada rejected it"),
        ({"chosen_options": ["Approve"]}, "e" * 64, "other content was approved"),
        ({"error": "late", "error_type": "timeout"}, "d" * 64, "nobody answered within 3 days"),
    ],
)
def test_an_approval_is_for_the_digest_that_was_shown(
    tmp_path: Path, event: dict[str, Any], settled_later: str, said: str | None
):
    spec = load_spec(write_spec(tmp_path))
    approval = RolloutApprovalOperator(
        task_id="approve", spec=spec, step="Promote", evidence_of="preflight"
    )
    store = StateStore(shown={"version": 3, "digest": "d" * 64})
    task = Task({}, {("preflight", "settled"): {"version": 3, "digest": settled_later}})
    answered = {"params_input": {}, "responded_by_user": {"name": "ada"}, **event}
    given = context(task, task_state_store=store)
    if said is None:
        left = approval.execute_complete(given, answered)
        assert left == {"version": 3, "digest": "d" * 64, "approved_by": "ada"}
        return
    with pytest.raises(TerminalError, match=said):
        approval.execute_complete(given, answered)
    assert said in task.left["self", "failure"]["message"]


@pytest.mark.parametrize(
    ("chosen", "selected_later", "said"),
    [
        ("Approve", "d" * 64, None),
        ("Reject", "d" * 64, "ada rejected it"),
        ("Approve", "e" * 64, "other content was approved than was selected since"),
    ],
)
def test_an_approval_before_publishing_is_for_the_winner_that_was_shown(
    tmp_path: Path, chosen: str, selected_later: str, said: str | None
):
    spec = load_spec(write_spec(tmp_path))
    approval = PublishApprovalOperator(task_id="approve", spec=spec)
    shown = {"variant": "pruned", "digest": "d" * 64}
    details = {"winner": "pruned", "winner_artifact": {"digest": selected_later}}
    selected = {"step": "select", "model": spec.model, "details": details}
    task = Task({}, {("select", "return_value"): selected})
    event = {"chosen_options": [chosen], "responded_by_user": {"name": "ada"}}
    given = context(task, task_state_store=StateStore(shown=shown))
    if said is None:
        assert approval.execute_complete(given, event) == {**shown, "approved_by": "ada"}
        return
    with pytest.raises(TerminalError, match=said):
        approval.execute_complete(given, event)
    assert "nothing was published" in task.left["self", "failure"]["hint"]
