"""Versions go through a real Airflow to Google Cloud Storage, and to a server under load."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from slipway.evaluation.golden import Golden
from slipway.serving.channels import read_channel
from slipway.serving.layout import Layout
from support.house import GCS_URI, Traffic

if TYPE_CHECKING:
    from support.house import House

pytestmark = pytest.mark.e2e

MODEL = "cancer_on_gcs"
BUILD, ROLLOUT = f"{MODEL}__build", f"{MODEL}__rollout"
STEPS = ("preflight", "deploy", "probe", "health", "promote")
SPEC = """\
model: {model}
definition: breast_cancer
saved_model: ../../include/models/breast_cancer/saved_model
variants:
{variants}
gates: {{metrics: {{accuracy: {{floor: 0.93}}}}}}
objective: {{minimise: size_bytes}}
publish: {{base_uri: "{uri}"}}
rollout:
  probe: {{requests: 60, rate_per_second: 20.0}}
  health: {{window_seconds: 30, interval_seconds: 2}}
"""
FLOAT16 = "  half: {tflite: {precision: float16}}"
FLOAT32 = "  full: {tflite: {precision: float32}}"


def write_spec(house: House, variants: str) -> None:
    text = SPEC.format(model=MODEL, variants=variants, uri=GCS_URI)
    partial = house.specs / "partial"
    partial.write_text(text)
    partial.replace(house.specs / f"{MODEL}.yaml")


def wait_for_task(house: House, task: str) -> None:
    """Waits until Airflow has read the spec again."""
    deadline = time.monotonic() + 120
    while True:
        tasks = house.api.call("GET", f"/dags/{BUILD}/tasks")["tasks"]
        if task in {found["task_id"] for found in tasks}:
            return
        assert time.monotonic() < deadline, [found["task_id"] for found in tasks]
        time.sleep(0.5)


def build_and_roll_out(house: House) -> dict[str, Any]:
    """What was published, once it is stable."""
    before = [run["dag_run_id"] for run in house.api.runs(ROLLOUT)]
    run_id, state = house.build(MODEL)
    assert state == "success", house.states(BUILD, run_id)
    published: dict[str, Any] = house.api.result(BUILD, run_id, "publish")["details"]
    rollout_id, state = house.rollout_of_event(MODEL, but=before)
    states = house.states(ROLLOUT, rollout_id)
    assert state == "success", states
    assert {step: states[step] for step in STEPS} == dict.fromkeys(STEPS, "success")
    return published


def golden_of(house: House, version: int) -> Golden:
    kept = house.gcs.get(Layout(MODEL).golden(version))
    assert kept is not None
    return Golden.model_validate_json(kept.data)


def test_a_second_version_is_served_with_no_restart_and_no_failed_request(house: House) -> None:
    write_spec(house, FLOAT16)
    house.api.wait_for_dag(BUILD)
    house.api.wait_for_dag(ROLLOUT)
    first = build_and_roll_out(house)
    assert (first["version"], first["uri"]) == (1, f"{GCS_URI}/{MODEL}/1")
    server = house.stack.table.find("model-server")
    assert server is not None
    asked = golden_of(house, 1).requests[0]
    url = f"{house.stack.model_server_url}/v1/models/{MODEL}/labels/stable:predict"
    traffic = Traffic(url, asked.body)
    traffic.start()
    try:
        write_spec(house, FLOAT32)
        wait_for_task(house, "full.tflite")
        second = build_and_roll_out(house)
    finally:
        traffic.stop()
    assert (second["version"], second["digest"] != first["digest"]) == (2, True)
    stable = read_channel(house.gcs, MODEL, "stable")
    assert stable is not None
    assert (stable.version, stable.digest) == (2, second["digest"])
    assert traffic.failed == []
    assert traffic.asked > 100
    assert house.stack.table.find("model-server") == server
    golden = golden_of(house, 2)
    for index, request in enumerate(golden.requests):
        answer = httpx.post(url, json=request.body, timeout=30)
        assert answer.status_code == 200, answer.text
        assert not golden.differences(index, answer.json(), tolerance=0.01)
