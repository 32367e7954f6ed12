"""An operator's day in a real Airflow and a real browser: approve, clear, look, roll back.

SLIPWAY_SCREENSHOTS names a folder for the pictures of the documentation (`make screenshots`).
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from slipway.contracts import ArtifactRef
from slipway.serving.catalog import list_versions
from slipway.serving.channels import read_channel
from slipway.serving.layout import Layout
from support.airflow_lives import wait_for
from support.house import Traffic
from support.newer import publish_newer
from support.specs import PROJECT
from support.ui import airflow_ui

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.house import House
    from support.ui import AirflowUi

pytestmark = [pytest.mark.operations, pytest.mark.timeout(1500)]

MODEL, UNPROVEN = "operated", "unproven"
BUILD, ROLLOUT, ROLLBACK = (f"{MODEL}__{kind}" for kind in ("build", "rollout", "rollback"))
ROLLBACK_SECONDS = 60.0


@pytest.fixture(scope="module")
def operated(house: House) -> House:
    """A house with a model whose winner a person must approve, and which has a weak variant."""
    spec = yaml.safe_load((PROJECT / "dags" / "models" / "breast_cancer.yaml").read_text("utf-8"))
    spec |= {
        "model": MODEL,
        # The second cannot be made with the TensorFlow that is installed, GPU or not.
        "variants": {
            "lite": spec["variants"]["lite"],
            "engine": {"tensorrt": {"backend": "tf_trt"}},
        },
        "publish": {"approval": True},
    }
    _add(house, spec)
    for dag_id in (BUILD, ROLLOUT, ROLLBACK):
        house.api.wait_for_dag(dag_id)
    return house


@pytest.fixture(scope="module")
def ui(house: House) -> Iterator[AirflowUi]:
    with airflow_ui(house.stack.airflow.url) as window:
        yield window


def _add(house: House, spec: dict[str, Any]) -> None:
    (house.specs / f"{spec['model']}.yaml").write_text(yaml.safe_dump(spec), "utf-8")


def page_of(dag_id: str, run_id: str, task_id: str, tab: str = "") -> str:
    return f"/dags/{dag_id}/runs/{run_id}/tasks/{task_id}{tab}"


def awaited(house: House, run_id: str) -> None:
    wait_for(lambda: house.states(BUILD, run_id).get("approve") == "awaiting_input", "approve")


def answer(ui: AirflowUi, house: House, run_id: str, chosen: str) -> None:
    """Answer as a person does."""
    awaited(house, run_id)
    ui.open(page_of(BUILD, run_id, "approve", "/required_actions"))
    ui.shows("Publish the winner?")
    if chosen == "Approve":
        ui.picture("approve")
    ui.press(chosen)
    wait_for(lambda: house.states(BUILD, run_id)["approve"] != "awaiting_input", "an answer")


def versions(house: House) -> list[int]:
    return [each.version for each in list_versions(house.store, MODEL) if each.state == "published"]


def stable(house: House, model: str = MODEL) -> int | None:
    channel = read_channel(house.store, model, "stable")
    return None if channel is None else channel.version


def served(house: House) -> int | None:
    """The version that the model server answers with under the label stable."""
    found = httpx.get(f"{house.stack.model_server_url}/v1/models/{MODEL}/labels/stable").json()
    loaded = found.get("model_version_status", [])
    return next((int(v["version"]) for v in loaded if v["state"] == "AVAILABLE"), None)


def failure(house: House, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
    path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/failure"
    value = house.api.call("GET", path)["value"]
    found: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
    return found


@pytest.fixture(scope="module")
def first(operated: House, ui: AirflowUi) -> str:
    """A build whose winner was changed after it was approved, and then mended: its run id."""
    house = operated
    ui.open(f"/dags/{BUILD}")
    ui.press("Trigger Dag")
    ui.shows("Publish only")
    ui.picture("build-form")
    ui.press("Close")
    ui.closed()
    run_id = house.api.trigger(BUILD)
    awaited(house, run_id)
    selected = house.api.result(BUILD, run_id, "select")["details"]
    folder = ArtifactRef.model_validate(selected["winner_artifact"]).servable
    file = max((f for f in folder.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    kept = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    try:
        answer(ui, house, run_id, "Approve")
        assert house.api.wait(BUILD, run_id, within_seconds=300) == "failed"
    finally:
        file.write_bytes(kept)
    assert versions(house) == []
    house.api.clear(BUILD, run_id, ["publish"], downstream=True)
    wait_for(lambda: house.states(BUILD, run_id)["publish"] == "success", "publish")
    wait_for(lambda: house.api.run(BUILD, run_id)["state"] == "success", "the end of the build")
    assert house.rollout_of_event(MODEL)[1] == "success"
    return run_id


def test_what_changed_after_its_approval_is_not_published_until_it_is_mended(
    operated: House, first: str
) -> None:
    assert versions(operated)[-1] == 1
    approved = operated.api.result(BUILD, first, "approve")
    published = operated.api.result(BUILD, first, "select")["details"]["winner_artifact"]
    assert approved["digest"] == published["digest"]


@pytest.mark.usefixtures("first")
def test_a_rejected_winner_is_not_published_and_nothing_goes_on(
    operated: House, ui: AirflowUi
) -> None:
    before = versions(operated)
    run_id = operated.api.trigger(BUILD)
    answer(ui, operated, run_id, "Reject")
    assert operated.api.wait(BUILD, run_id, within_seconds=120) == "failed"
    states = operated.states(BUILD, run_id)
    assert (states["approve"], states["publish"]) == ("failed", "upstream_failed")
    assert "rejected it" in failure(operated, BUILD, run_id, "approve")["message"]
    assert versions(operated) == before


def test_a_variant_that_fails_says_why_and_stops_nothing(
    operated: House, first: str, ui: AirflowUi
) -> None:
    assert operated.states(BUILD, first)["engine.tensorrt"] == "failed"
    why = failure(operated, BUILD, first, "engine.tensorrt")
    ui.open(page_of(BUILD, first, "engine.tensorrt"))
    ui.read_failure()
    ui.shows(why["message"])
    ui.picture("variant-failed")
    ui.open(page_of(BUILD, first, "engine.tensorrt", "/asset_events"))
    ui.ask_to_clear()
    ui.shows("Affected Tasks: 6")
    ui.picture("clear")


@pytest.fixture
def unproven(operated: House, first: str, tmp_path: Path) -> str:
    """A model whose gate asks for a series that nobody has; its rollout's DAG."""
    house = operated
    spec = yaml.safe_load((house.specs / f"{MODEL}.yaml").read_text("utf-8"))
    nobody_counts_it = {"name": "queue", "query": "orders_waiting", "largest": 10}
    checks = {"promql": [nobody_counts_it]}
    health = {"timeout_seconds": 20, "window_seconds": 30, "checks": checks}
    _add(house, spec | {"model": UNPROVEN, "rollout": {"health": health}})
    selected = house.api.result(BUILD, first, "select")["details"]
    servable = ArtifactRef.model_validate(selected["winner_artifact"]).servable
    golden = house.store.get(Layout(MODEL).golden(1))
    assert golden is not None
    publish_newer(house.store, UNPROVEN, servable, tmp_path / "copy", golden.data)
    return f"{UNPROVEN}__rollout"


def test_a_gate_that_cannot_tell_withdraws_the_canary_and_says_what_to_do(
    operated: House, unproven: str, ui: AirflowUi
) -> None:
    run_id, state = operated.roll_out(UNPROVEN, {})
    states = operated.states(unproven, run_id)
    assert (state, states["health"], states["rollback"]) == ("failed", "failed", "success")
    why = failure(operated, unproven, run_id, "health")
    assert why["details"]["decision"]["verdict"] == "inconclusive"
    assert stable(operated, UNPROVEN) is None
    ui.open(page_of(unproven, run_id, "health"))
    ui.read_failure()
    ui.shows("the canary is inconclusive")
    ui.picture("inconclusive")


@pytest.fixture
def newer(operated: House, first: str, tmp_path: Path) -> int:
    """A version that is stable, while version 1 is kept."""
    house = operated
    selected = house.api.result(BUILD, first, "select")["details"]
    servable = ArtifactRef.model_validate(selected["winner_artifact"]).servable
    golden = house.store.get(Layout(MODEL).golden(1))
    assert golden is not None
    version = publish_newer(house.store, MODEL, servable, tmp_path / "copy", golden.data)
    run_id, state = house.roll_out(MODEL, {"version": version})
    assert (state, stable(house)) == ("success", version), house.states(ROLLOUT, run_id)
    return version


@pytest.fixture
def traffic(operated: House, newer: int) -> Iterator[Traffic]:
    golden = operated.store.get(Layout(MODEL).golden(newer))
    assert golden is not None
    url = f"{operated.stack.model_server_url}/v1/models/{MODEL}/labels/stable:predict"
    asking = Traffic(url, json.loads(golden.data)["requests"][0]["body"])
    asking.start()
    yield asking
    asking.stop()


def test_a_rollback_by_one_call_takes_less_than_a_minute_and_loses_no_request(
    operated: House, traffic: Traffic, capsys: pytest.CaptureFixture[str]
) -> None:
    house = operated
    began = time.monotonic()
    run_id = house.api.trigger(ROLLBACK, {"version": 1})
    wait_for(lambda: served(house) == 1, "version 1 under the label stable", ROLLBACK_SECONDS)
    seconds = time.monotonic() - began
    assert house.api.wait(ROLLBACK, run_id, within_seconds=120) == "success"
    again = [task for task in house.states(ROLLBACK, run_id) if task != "withdraw"]
    house.api.clear(ROLLBACK, run_id, again, downstream=True)
    assert house.api.wait(ROLLBACK, run_id, within_seconds=120) == "success"
    traffic.stop()
    with capsys.disabled():
        sys.stdout.write(f"\nstable served version 1 {seconds:.1f} s after the call; ")
        sys.stdout.write(f"{traffic.asked} requests, {len(traffic.failed)} failed\n")
    assert stable(house) == 1
    assert traffic.asked > 100
    assert traffic.failed == []


@pytest.mark.usefixtures("newer")
def test_a_person_rolls_back_with_the_form(operated: House, ui: AirflowUi) -> None:
    known = {run["dag_run_id"] for run in operated.api.runs(ROLLBACK)}
    ui.open(f"/dags/{ROLLBACK}")
    ui.press("Trigger Dag")
    ui.shows("This field is required")
    ui.fill("version", "1")
    ui.picture("rollback-form")
    ui.press("Trigger")
    ui.closed()

    def begun() -> list[str]:
        runs = operated.api.runs(ROLLBACK)
        return [run["dag_run_id"] for run in runs if run["dag_run_id"] not in known]

    wait_for(lambda: bool(begun()), "the run that the form starts")
    [run_id] = begun()
    assert operated.api.wait(ROLLBACK, run_id, within_seconds=120) == "success"
    assert stable(operated) == 1
    ui.open(f"/dags/{ROLLBACK}/runs/{run_id}")
    ui.picture("rolled-back")
