"""An operator's day in a real Airflow: approve, clear, roll back; with what it looks like.

SLIPWAY_SCREENSHOTS names a folder for the pictures of the documentation (`make screenshots`).
"""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from slipway.contracts import ArtifactRef
from slipway.serving.catalog import list_versions
from slipway.serving.channels import read_channel
from slipway.serving.layout import Layout
from slipway.serving.publish import publish
from support.house import Traffic
from support.specs import PROJECT
from support.ui import picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.house import House

pytestmark = [pytest.mark.operations, pytest.mark.timeout(1500)]

MODEL = "operated"
BUILD, ROLLOUT, ROLLBACK = (f"{MODEL}__{kind}" for kind in ("build", "rollout", "rollback"))
ROLLBACK_SECONDS = 60.0


def wait_for(condition: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture(scope="module")
def operated(house: House) -> House:
    """A house with a model whose winner a person must approve."""
    spec = yaml.safe_load((PROJECT / "dags" / "models" / "breast_cancer.yaml").read_text("utf-8"))
    spec |= {"model": MODEL, "variants": {"lite": spec["variants"]["lite"]}}
    spec["publish"] = {"approval": True}
    # The DAGs stand in a folder of the test's own, beside a link to the project's include/.
    (house.specs / f"{MODEL}.yaml").write_text(yaml.safe_dump(spec), "utf-8")
    for dag_id in (BUILD, ROLLOUT, ROLLBACK):
        house.api.wait_for_dag(dag_id)
    return house


def instance(dag_id: str, run_id: str, task_id: str) -> str:
    return f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"


def awaited(house: House, run_id: str) -> None:
    wait_for(lambda: house.states(BUILD, run_id).get("approve") == "awaiting_input")


def answer(house: House, run_id: str, chosen: str) -> None:
    path = f"/dags/{BUILD}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"
    house.api.call("PATCH", path, json={"chosen_options": [chosen], "params_input": {}})


def versions(house: House) -> list[int]:
    return [each.version for each in list_versions(house.store, MODEL) if each.state == "published"]


def stable(house: House) -> int | None:
    channel = read_channel(house.store, MODEL, "stable")
    return None if channel is None else channel.version


def show(house: House, name: str, path: str) -> None:
    folder = os.environ.get("SLIPWAY_SCREENSHOTS")
    if folder:
        picture(f"{house.stack.airflow.url}{path}", Path(folder) / f"{name}.png")


def failure(house: House, run_id: str, task_id: str) -> dict[str, Any]:
    path = f"{instance(BUILD, run_id, task_id)}/xcomEntries/failure"
    value = house.api.call("GET", path)["value"]
    return json.loads(value) if isinstance(value, str) else value


@pytest.fixture(scope="module")
def first(operated: House) -> str:
    """A build whose winner was changed after it was approved, and then mended: its run id."""
    house = operated
    run_id = house.api.trigger(BUILD)
    awaited(house, run_id)
    show(house, "approve", f"/dags/{BUILD}/runs/{run_id}/tasks/approve/required_actions")
    selected = house.api.result(BUILD, run_id, "select")["details"]
    folder = ArtifactRef.model_validate(selected["winner_artifact"]).servable
    file = max((f for f in folder.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    kept = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    try:
        answer(house, run_id, "Approve")
        assert house.api.wait(BUILD, run_id, within_seconds=300) == "failed"
    finally:
        file.write_bytes(kept)
    assert versions(house) == []
    show(house, "failed", f"/dags/{BUILD}/runs/{run_id}/tasks/publish")
    house.api.clear(BUILD, run_id, ["publish"], downstream=True)
    assert house.api.wait(BUILD, run_id, within_seconds=300) == "success"
    assert house.rollout_of_event(MODEL)[1] == "success"
    return run_id


def test_what_changed_after_its_approval_is_not_published_until_it_is_mended(
    operated: House, first: str
) -> None:
    assert versions(operated)[0] == 1
    approved = operated.api.result(BUILD, first, "approve")
    published = operated.api.result(BUILD, first, "select")["details"]["winner_artifact"]
    assert approved["digest"] == published["digest"]


@pytest.mark.usefixtures("first")
def test_a_rejected_winner_is_not_published_and_nothing_goes_on(operated: House) -> None:
    before = versions(operated)
    run_id = operated.api.trigger(BUILD)
    awaited(operated, run_id)
    answer(operated, run_id, "Reject")
    assert operated.api.wait(BUILD, run_id, within_seconds=120) == "failed"
    states = operated.states(BUILD, run_id)
    assert (states["approve"], states["publish"]) == ("failed", "upstream_failed")
    assert "rejected it" in failure(operated, run_id, "approve")["message"]
    assert versions(operated) == before


def test_every_task_of_a_build_is_marked_as_failed_and_cleared_with_no_second_version(
    operated: House, first: str
) -> None:
    before, kept = versions(operated), stable(operated)
    tasks = sorted(operated.states(BUILD, first))
    for task in tasks:
        path = instance(BUILD, first, task)
        operated.api.call("PATCH", path, json={"new_state": "failed"})
        # Airflow clears what had failed downstream, so the run may begin again meanwhile.
        assert operated.api.call("GET", path)["state"] == "failed"
    operated.api.clear(BUILD, first, tasks, downstream=False)
    awaited(operated, first)
    answer(operated, first, "Approve")
    assert operated.api.wait(BUILD, first, within_seconds=300) == "success"
    assert operated.api.result(BUILD, first, "publish")["details"]["already_published"]
    assert (versions(operated), stable(operated)) == (before, kept)


@pytest.mark.usefixtures("first")
def test_a_rollback_by_one_call_takes_less_than_a_minute_and_loses_no_request(
    operated: House,
) -> None:
    house = operated
    target = stable(house)
    assert target is not None
    golden = house.store.get(Layout(MODEL).golden(target))
    assert golden is not None
    newer = _newer(house, golden.data)
    run_id, state = house.roll_out(MODEL, {"version": newer})
    assert (state, stable(house)) == ("success", newer), house.states(ROLLOUT, run_id)
    url = f"{house.stack.model_server_url}/v1/models/{MODEL}/labels/stable:predict"
    traffic = Traffic(url, json.loads(golden.data)["requests"][0]["body"])
    traffic.start()
    try:
        show(house, "rollback", f"/dags/{ROLLBACK}/runs")
        began = time.monotonic()
        run_id = house.api.trigger(ROLLBACK, {"version": target})
        wait_for(lambda: stable(house) == target, ROLLBACK_SECONDS)
        seconds = time.monotonic() - began
        assert house.api.wait(ROLLBACK, run_id, within_seconds=120) == "success"
        show(house, "rolled-back", f"/dags/{ROLLBACK}/runs/{run_id}")
        again = [t for t in house.states(ROLLBACK, run_id) if t != "withdraw"]
        house.api.clear(ROLLBACK, run_id, again, downstream=True)
        assert house.api.wait(ROLLBACK, run_id, within_seconds=120) == "success"
    finally:
        traffic.stop()
    print(f"stable served version {target} {seconds:.1f} s after the call")  # noqa: T201 - reported
    assert seconds < ROLLBACK_SECONDS
    assert stable(house) == target
    assert traffic.asked > 100
    assert traffic.failed == []


def _newer(house: House, golden: bytes) -> int:
    """The same model as another version: with a file more than the one before."""
    run = next(r for r in house.api.runs(BUILD) if r["state"] == "success")
    selected = house.api.result(BUILD, run["dag_run_id"], "select")["details"]
    servable = ArtifactRef.model_validate(selected["winner_artifact"]).servable
    folder = house.stack.folder / "newer"
    if not folder.exists():
        shutil.copytree(servable, folder)
        (folder / "assets.extra").mkdir(exist_ok=True)
        (folder / "assets.extra" / "note.txt").write_text("newer", "utf-8")
    return publish(house.store, MODEL, folder, variant="newer", metrics={}, golden=golden).version
