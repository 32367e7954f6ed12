"""The health gate: poking and deferred it takes the same looks and comes to the same end."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.module_loading import import_string
from airflow.sdk.serde import deserialize, serialize
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.contracts import StepFailure, StepOutcome, StepResult
from slipway.errors import TerminalError
from slipway.spec.loader import load_spec
from slipway.spec.model import ModelSpec
from slipway_airflow.sensors.model_health import ModelHealthSensor, decision_of
from slipway_airflow.triggers.model_health import ModelHealthTrigger
from support.scripted_prometheus import ScriptedPrometheus, scripted_prometheus
from support.specs import write_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DEPLOYED: dict[str, Any] = {"details": {"stable_version": 2}}
PROBED = {"probe_requests": 200.0, "probe_error_ratio": 0.0}
GOOD, BAD, FEW, GONE = (500.0, 0.0), (500.0, 0.5), (1.0, 0.0), (None, None)


class Task:
    """What the sensor asks of its task instance."""

    def __init__(self, probed: dict[str, float] | None = PROBED) -> None:
        self.left: dict[str, Any] = {}
        self.kept = Kept()
        self.probed = probed
        self.promoted: dict[str, Any] | None = None

    def xcom_pull(self, *, task_ids: str, key: str = "return_value") -> Any:
        settled = {"version": 3, "digest": "d"}
        probed = {"metrics": self.probed} if self.probed else None
        left = {"preflight": settled, "deploy": DEPLOYED, "probe": probed, "promote": self.promoted}
        return left[task_ids] if key else None

    def xcom_push(self, *, key: str, value: Any) -> None:
        self.left[key] = value


class Kept(dict[str, Any]):
    """What a task keeps when it is cleared."""

    def set(self, key: str, value: Any, *, retention: object) -> None:
        del retention
        self[key] = json.loads(json.dumps(value))


@pytest.fixture
def spec(tmp_path: Path) -> ModelSpec:
    """Looks as fast as they can."""
    spec = load_spec(write_spec(tmp_path))
    rollout = spec.rollout.model_dump(mode="json")
    name = f"p{uuid.uuid4().hex[:8]}"
    rollout["health"] |= {
        "connection": name,
        "interval_seconds": 1,
        "consecutive": 2,
        "timeout_seconds": 2,
    }
    return ModelSpec.model_validate(spec.rendered() | {"rollout": rollout})


@pytest.fixture
def prometheus(spec: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Starts a Prometheus that shows these requests and error ratios, look by look."""

    @contextmanager
    def start(*seen: tuple[float | None, float | None]) -> Iterator[ScriptedPrometheus]:
        def answer(query: str, look: int) -> float | None:
            requests, errors = seen[min(look, len(seen) - 1)]
            return errors if "!=" in query else requests

        with scripted_prometheus(answer) as server:
            connection = {"conn_type": "http", "host": "127.0.0.1", "port": server.server_port}
            variable = f"AIRFLOW_CONN_{spec.rollout.health.connection.upper()}"
            monkeypatch.setenv(variable, json.dumps(connection))
            yield server

    return start


def sensor(spec: ModelSpec, **arguments: Any) -> ModelHealthSensor:
    dag = DAG("health", schedule=None)
    return ModelHealthSensor(task_id="health", spec=spec, dag=dag, **arguments)


def poke(spec: ModelSpec) -> tuple[str, dict[str, Any]]:
    """How the poking sensor ends: "result" or "failure", and what it says."""
    gate, task = sensor(spec, deferrable=False), Task()
    return _end(lambda: _execute(gate, task), task)


def defer(spec: ModelSpec) -> tuple[str, dict[str, Any]]:
    """How the deferred one ends, by way of the trigger as the triggerer gets it."""
    gate, task = sensor(spec), Task()
    with pytest.raises(TaskDeferred) as deferred:
        _execute(gate, task)
    assert not task.left
    path, arguments = deferred.value.trigger.serialize()
    trigger = import_string(path)(**deserialize(json.loads(json.dumps(serialize(arguments)))))

    async def first_event() -> Any:
        async for event in trigger.run():
            return event.payload
        return None

    event = json.loads(json.dumps(asyncio.run(first_event())))
    return _end(lambda: getattr(gate, deferred.value.method_name)(_context(task), event), task)


def _execute(gate: ModelHealthSensor, task: Task) -> Any:
    return type(gate).execute.__wrapped__(gate, _context(task))


def _context(task: Task) -> dict[str, Any]:
    return {"ti": task, "task_state_store": task.kept}


def _end(act: Callable[[], Any], task: Task) -> tuple[str, dict[str, Any]]:
    try:
        return "result", StepResult.model_validate(act()).model_dump(mode="json")
    except TerminalError as error:
        raised = StepFailure.of(error)
    assert StepFailure.model_validate(task.left["failure"]) == raised
    return "failure", task.left["failure"]


def verdict(end: tuple[str, dict[str, Any]]) -> str:
    return str(end[1]["details"]["decision"]["verdict"])


@pytest.mark.parametrize("way", [poke, defer])
@pytest.mark.parametrize(
    ("seen", "kind", "expected"),
    [
        ([GOOD], "result", "healthy"),
        ([BAD], "failure", "unhealthy"),
        ([BAD, GOOD], "result", "healthy"),
        ([FEW], "failure", "inconclusive"),
        ([GONE], "failure", "inconclusive"),
    ],
)
def test_only_a_healthy_canary_passes(
    spec: ModelSpec,
    prometheus: Callable[..., Any],
    way: Callable[[ModelSpec], tuple[str, dict[str, Any]]],
    seen: list[tuple[float | None, float | None]],
    kind: str,
    expected: str,
):
    with prometheus(*seen):
        end = way(spec)
    assert end[0] == kind
    assert verdict(end) == expected
    results = end[1]["details"]["decision"]["results"]
    assert {"requests", "error_ratio", "probe_error_ratio"} <= {
        each["check"]["name"] for each in results
    }


@pytest.mark.parametrize("seen", [FEW, GONE])
def test_what_to_do_about_too_few_requests_works_after_the_canary_was_withdrawn(
    spec: ModelSpec,
    prometheus: Callable[..., Any],
    seen: tuple[float | None, float | None],
):
    with prometheus(seen):
        hint = poke(spec)[1]["hint"]
    assert "the canary is withdrawn" in hint
    assert "clear deploy with Downstream" in hint, "what comes after it needs the canary"
    assert "clear probe" not in hint


@pytest.mark.parametrize("way", [poke, defer])
def test_a_prometheus_that_does_not_answer_is_an_error_at_the_end(
    spec: ModelSpec,
    prometheus: Callable[..., Any],
    way: Callable[[ModelSpec], tuple[str, dict[str, Any]]],
):
    with prometheus(GOOD):
        pass  # it is gone again
    end = way(spec)
    assert (end[0], verdict(end)) == ("failure", "error")
    assert "could not be asked" in end[1]["message"]


@pytest.mark.parametrize("way", [poke, defer])
def test_a_query_that_is_refused_ends_at_once(
    spec: ModelSpec,
    monkeypatch: pytest.MonkeyPatch,
    way: Callable[[ModelSpec], tuple[str, dict[str, Any]]],
):
    refusal = {"status": "error", "errorType": "bad_data", "error": "parse error"}
    with scripted_prometheus(lambda _query, _look: refusal) as server:
        variable = f"AIRFLOW_CONN_{spec.rollout.health.connection.upper()}"
        connection = {"conn_type": "http", "host": "127.0.0.1", "port": server.server_port}
        monkeypatch.setenv(variable, json.dumps(connection))
        kind, failure = way(spec)
        assert server.looks() == 1
    assert kind == "failure"
    assert "parse error" in failure["message"]


@pytest.mark.parametrize("way", [poke, defer])
def test_a_missing_connection_is_named(
    spec: ModelSpec, way: Callable[[ModelSpec], tuple[str, dict[str, Any]]]
):
    kind, failure = way(spec)
    assert kind == "failure"
    assert failure["subject"] == spec.rollout.health.connection


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_canary_that_was_not_probed_is_not_judged(
    spec: ModelSpec, prometheus: Callable[..., Any], *, deferrable: bool
):
    gate, task = sensor(spec, deferrable=deferrable), Task(probed=None)
    with prometheus(GOOD) as server:
        kind, failure = _end(lambda: _execute(gate, task), task)
        assert server.looks() == 0
    assert (kind, failure["kind"], failure["subject"]) == ("failure", "terminal", "probe")
    assert "was not probed" in failure["message"]


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seen=st.lists(st.sampled_from([GOOD, BAD, FEW, GONE]), min_size=1, max_size=4))
def test_both_ways_take_the_same_looks(
    spec: ModelSpec,
    prometheus: Callable[..., Any],
    seen: list[tuple[float | None, float | None]],
):
    ends, looks = [], []
    for way in (poke, defer):
        with prometheus(*seen) as server:
            ends.append(way(spec))
            looks.append(server.looks())
    assert ends[0][0] == ends[1][0]
    assert verdict(ends[0]) == verdict(ends[1])
    values = [[look["values"] for look in end[1]["details"]["decision"]["looks"]] for end in ends]
    shared = min(len(each) for each in values)
    assert values[0][:shared] == values[1][:shared]
    assert abs(looks[0] - looks[1]) <= 1, "the clock may end the one a look before the other"


def test_a_restarted_trigger_keeps_the_deadline(spec: ModelSpec, prometheus: Callable[..., Any]):
    policy = spec.rollout.health
    trigger = ModelHealthTrigger(
        connection_id=policy.connection,
        policy=policy.model_dump(mode="json"),
        subject={"model": "tiny", "version": 3},
        started_at=time.time() - policy.timeout_seconds,
    )

    async def first_event() -> Any:
        return (await anext(aiter(trigger.run()))).payload

    with prometheus(FEW) as server:
        event = asyncio.run(first_event())
        assert server.looks() == 1
    assert event["decision"]["verdict"] == "inconclusive"


def test_waiting_never_blocks_the_event_loop(spec: ModelSpec, prometheus: Callable[..., Any]):
    policy = spec.rollout.health
    trigger = ModelHealthTrigger(
        connection_id=policy.connection,
        policy=policy.model_dump(mode="json"),
        subject={"model": "tiny", "version": 3},
        started_at=time.time(),
    )

    arrived, released = threading.Event(), threading.Event()
    waited: list[bool] = []

    def answer(query: str, _look: int) -> float:
        arrived.set()
        waited.append(released.wait(10))
        return 0.0 if "!=" in query else 500.0

    async def release() -> None:
        await asyncio.to_thread(arrived.wait, 10)
        released.set()

    async def watch() -> None:
        heart = asyncio.create_task(release())
        await anext(aiter(trigger.run()))
        await heart

    with prometheus(GOOD) as server:
        server.answer = answer
        asyncio.run(watch())
    assert all(waited), "Prometheus waits for the loop, which must go on while it waits"


@pytest.mark.parametrize(
    "arguments",
    [{"soft_fail": True}, {"never_fail": True}, {"silent_fail": True}, {"mode": "reschedule"}],
)
def test_what_would_let_an_unproven_canary_pass_is_refused(
    spec: ModelSpec, arguments: dict[str, Any]
):
    with pytest.raises(ValueError, match=r"health gate|reschedule"):
        sensor(spec, **arguments)


def test_cleared_after_its_run_promoted_the_version_the_gate_keeps_its_decision(
    spec: ModelSpec, prometheus: Callable[..., Any]
):
    gate, task = sensor(spec, deferrable=False), Task()
    with prometheus(GOOD):
        first = _execute(gate, task)
    with prometheus(FEW):
        assert verdict(_end(lambda: _execute(sensor(spec, deferrable=False), task), task)) == (
            "inconclusive"
        )
        task.promoted = {"details": {}}
        assert _execute(sensor(spec, deferrable=False), task) == first


def test_the_decision_is_found_in_a_result_and_in_a_failure():
    decision = {"verdict": "healthy"}
    result = StepResult(step="health", model="m", details={"decision": decision})
    failure = StepFailure(kind="terminal", message="", hint="", details={"decision": decision})
    assert decision_of(StepOutcome(result=result)) == decision
    assert decision_of(StepOutcome(failure=failure)) == decision
    assert decision_of(None) is None
