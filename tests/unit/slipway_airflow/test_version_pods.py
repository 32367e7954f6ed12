"""Waiting for a version's pods outside of the worker."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.module_loading import import_string

from slipway.kubernetes.waiting import Awaited
from slipway.local.processes import free_port
from slipway.spec.loader import load_spec
from slipway.spec.plan import plan_rollout
from slipway_airflow.operators.base import Work
from slipway_airflow.operators.deploy import DeployOperator
from slipway_airflow.triggers.version_pods import VersionPodsTrigger
from support.specs import write_spec

if TYPE_CHECKING:
    from pathlib import Path

# Ends with "not ready yet" until it is told until when it may wait.
_STEP = """#!/bin/sh
if grep -q '"wait_until": null' "$4"; then
  echo '{"failure": FAILURE}' > "$6"
else
  echo '{"result": {"step": "deploy", "model": "tiny", "details": {"told": true}}}' > "$6"
fi
"""


class _Task:
    def xcom_pull(self, *, task_ids: str, key: str = "return_value") -> Any:
        return (
            {"version": 1, "digest": "d"} if (task_ids, key) == ("preflight", "settled") else None
        )

    def xcom_push(self, *, key: str, value: Any) -> None:
        pytest.fail(f"a task that waits has not failed: {key} {value}")


@pytest.fixture
def kubeconfig(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a cluster that does not answer."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "none",
        "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
        "clusters": [{"name": "none", "cluster": {"server": f"http://127.0.0.1:{free_port()}"}}],
        "users": [{"name": "none", "user": {}}],
    }
    connection = {"conn_type": "kubernetes", "extra": {"kube_config": json.dumps(config)}}
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps(connection))


def _awaited(seconds: float) -> Awaited:
    return Awaited(namespace="serving", model="tiny", version=1, until=time.time() + seconds)


@pytest.mark.usefixtures("kubeconfig")
def test_a_step_that_waits_for_pods_is_deferred_and_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    awaited = _awaited(300)
    error = awaited.error()
    failure = {
        "kind": "transient",
        "message": error.message,
        "hint": error.hint,
        "details": error.details,
    }
    script = tmp_path / "python"
    script.write_text(_STEP.replace("FAILURE", json.dumps(failure)), "utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("SLIPWAY_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unused")
    extra = f"execution: {{python: {script}}}\nserve: {{kubernetes: {{namespace: serving}}}}\n"
    file = write_spec(tmp_path, extra=extra)
    text = file.read_text("utf-8")
    file.write_text(text.replace("rollout:\n", "rollout:\n  strategy: canary\n"), "utf-8")
    spec = load_spec(file)
    planned = next(step for step in plan_rollout(spec) if step.step == "deploy")
    dag = DAG("tiny__rollout", schedule=None)
    deploy = DeployOperator.of(Work(spec, file, planned), task_id="deploy", dag=dag)
    context: Any = {"ti": _Task(), "run_id": "run", "params": {}}

    with pytest.raises(TaskDeferred) as deferred:
        type(deploy).execute.__wrapped__(deploy, context)
    path, arguments = deferred.value.trigger.serialize()
    assert import_string(path) is VersionPodsTrigger
    assert arguments == {
        "connection_id": "kubernetes_default",
        "awaited": awaited.model_dump(mode="json"),
    }
    # The trigger ends first, by itself.
    assert deferred.value.timeout > timedelta(seconds=300)
    resume = getattr(deploy, deferred.value.method_name)
    assert resume(context, {"until": awaited.until})["details"] == {"told": True}


async def _run(trigger: VersionPodsTrigger) -> tuple[Any, float]:
    """The event, and the longest that the event loop stood still meanwhile."""
    longest, last = 0.0, time.monotonic()

    async def tick() -> None:
        nonlocal longest, last
        while True:
            await asyncio.sleep(0.01)
            now = time.monotonic()
            longest, last = max(longest, now - last), now

    ticker = asyncio.create_task(tick())
    events = [event.payload async for event in trigger.run()]
    ticker.cancel()
    (event,) = events
    return event, longest


@pytest.mark.usefixtures("kubeconfig")
def test_a_cluster_that_does_not_answer_is_asked_again_until_time_is_up() -> None:
    awaited = _awaited(3)
    trigger = VersionPodsTrigger(
        connection_id="kubernetes_default", awaited=awaited.model_dump(mode="json")
    )
    event, _ = asyncio.run(_run(trigger))
    assert event == {"until": awaited.until}
    assert time.time() >= awaited.until


def test_what_the_trigger_cannot_do_is_left_to_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {"conn_type": "kubernetes", "extra": {"kube_config_path": "/no/such/file"}}
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps(connection))
    awaited = _awaited(600)
    trigger = VersionPodsTrigger(
        connection_id="kubernetes_default", awaited=awaited.model_dump(mode="json")
    )
    event, _ = asyncio.run(_run(trigger))
    assert event == {"until": awaited.until}
    assert time.time() < awaited.until - 500


def test_the_event_loop_goes_on_while_a_cluster_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from slipway_airflow.triggers import version_pods

    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", '{"conn_type": "kubernetes"}')
    monkeypatch.setattr(version_pods.Cluster, "connect", lambda _environ: SimpleNamespace())

    def slow(_cluster: object, _awaited: Awaited) -> bool:
        time.sleep(2)
        return True

    monkeypatch.setattr(version_pods, "has_moved_on", slow)
    monkeypatch.setenv("SLIPWAY_KUBECONFIG", "unused")
    monkeypatch.delenv("AIRFLOW_CONN_KUBERNETES_DEFAULT")
    trigger = VersionPodsTrigger(
        connection_id="kubernetes_default", awaited=_awaited(60).model_dump(mode="json")
    )
    _, longest = asyncio.run(_run(trigger))
    assert longest < 1
