"""Every task is killed, marked as failed and cleared, while it works and after: once is once."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import pytest
import yaml

from slipway.contracts import ArtifactRef
from slipway.serving.catalog import list_versions
from slipway.serving.channels import read_channel
from slipway.serving.layout import Layout
from support.airflow_lives import Lives, wait_for
from support.house import Traffic
from support.newer import publish_newer
from support.specs import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.house import House

pytestmark = [pytest.mark.operations, pytest.mark.timeout(2400)]

MODEL = "harassed"
BUILD, ROLLOUT = f"{MODEL}__build", f"{MODEL}__rollout"
BUILD_TASKS = (
    "check",
    "original.train_export",
    "original.validate",
    "lite.tflite",
    "lite.validate",
    "benchmark",
    "select",
    "approve",
    "publish",
)
ENDED = {"success", "failed", "skipped", "upstream_failed"}
ROLLOUT_TASKS = ("preflight", "deploy", "probe", "health", "promote")


@pytest.fixture(scope="module")
def harassed(house: House) -> House:
    """A house with a model whose steps work one at a time, and nothing beside them."""
    spec = yaml.safe_load((PROJECT / "dags" / "models" / "diabetes.yaml").read_text("utf-8"))
    spec |= {
        "model": MODEL,
        "variants": {"lite": spec["variants"]["lite"]},
        "publish": {"approval": True},
        "execution": {"parallel_steps": 1, "retry_delay_seconds": 1},
    }
    (house.specs / f"{MODEL}.yaml").write_text(yaml.safe_dump(spec), "utf-8")
    house.api.wait_for_dag(BUILD)
    # A rollout of the build's own would be killed with it; it gets a test of its own.
    house.api.wait_for_dag(ROLLOUT)
    house.api.call("PATCH", f"/dags/{ROLLOUT}", json={"is_paused": True})
    return house


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Shows how far a long test is."""

    def show(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n  {text}")
            sys.stdout.flush()

    return show


@pytest.fixture(scope="module")
def built(harassed: House) -> Lives:
    """A build of which nothing has run yet, but which has begun."""
    return Lives(harassed, BUILD, harassed.api.trigger(BUILD))


def approve(house: House, run_id: str) -> None:
    path = f"/dags/{BUILD}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"
    house.api.call("PATCH", path, json={"chosen_options": ["Approve"], "params_input": {}})


def versions(house: House) -> list[int]:
    return [each.version for each in list_versions(house.store, MODEL) if each.state == "published"]


def built_versions(house: House) -> list[int]:
    """Those that a build published."""
    return [v.version for v in list_versions(house.store, MODEL) if v.variant != "newer"]


def channel(house: House, name: str) -> int | None:
    found = read_channel(house.store, MODEL, name)
    return None if found is None else found.version


def finish(lives: Lives, task: str) -> str:
    """The state in which a task ends; what it asks is approved."""
    if task == "approve":
        lives.at_work(task)
        # Before Airflow has taken note that the process which asked is over, an answer confuses it.
        time.sleep(3)
        approve(lives.house, lives.run_id)
    wait_for(lambda: lives.state(task) in ENDED, f"the end of {task}")
    return str(lives.state(task))


def test_a_build_whose_every_task_is_killed_marked_and_cleared_at_work_publishes_once(
    built: Lives, say: Callable[[str], None]
) -> None:
    assert set(built.house.states(BUILD, built.run_id)) == set(BUILD_TASKS)
    for task in BUILD_TASKS:
        say(f"{task}: killed, marked as failed, cleared")
        built.kill(task)
        built.mark_failed_at_work(task)
        built.clear(task)
        built.clear_at_work(task)
        built.at_work(task)
        assert finish(built, task) == "success", task
    assert built.over() == "success"
    assert built_versions(built.house) == [1]


@pytest.fixture(scope="module")
def published(built: Lives) -> Lives:
    """A build that is over, whatever was done to it before."""
    if built.house.api.run(BUILD, built.run_id)["state"] != "success":
        assert finish(built, "approve") == "success"
        assert built.over() == "success"
    return built


def test_a_build_whose_every_task_is_marked_and_cleared_afterwards_stays_as_it_is(
    published: Lives, say: Callable[[str], None]
) -> None:
    built = published
    before = built.house.api.result(BUILD, built.run_id, "publish")["details"]
    for task in BUILD_TASKS:
        say(f"{task}: marked as failed, cleared")
        built.mark_failed(task)
        built.clear(task, downstream=False)
        assert finish(built, task) == "success", task
        assert built.over() == "success", task
    after = built.house.api.result(BUILD, built.run_id, "publish")["details"]
    assert (after["version"], after["digest"]) == (before["version"], before["digest"])
    assert after["already_published"]
    assert built_versions(built.house) == [1]


def publish_another(published: Lives, folder: Path) -> int:
    """The same model as another version."""
    house = published.house
    selected = house.api.result(BUILD, published.run_id, "select")["details"]
    servable = ArtifactRef.model_validate(selected["winner_artifact"]).servable
    golden = house.store.get(Layout(MODEL).golden(1))
    assert golden is not None
    return publish_newer(house.store, MODEL, servable, folder / "copy", golden.data)


@pytest.fixture(scope="module")
def newer(published: Lives, tmp_path_factory: pytest.TempPathFactory) -> int:
    """A version that is not stable, while version 1 is."""
    house = published.house
    house.api.call("PATCH", f"/dags/{ROLLOUT}", json={"is_paused": False})
    assert house.roll_out(MODEL, {"version": 1, "allow_older": True})[1] == "success"
    return publish_another(published, tmp_path_factory.mktemp("newer"))


@pytest.fixture(scope="module")
def rollout(published: Lives, newer: int) -> Lives:
    """A rollout of that version, which has begun."""
    house = published.house
    return Lives(house, ROLLOUT, house.api.trigger(ROLLOUT, {"version": newer}))


def test_a_rollout_whose_every_task_is_killed_marked_and_cleared_at_work_promotes_once(
    rollout: Lives, newer: int, say: Callable[[str], None]
) -> None:
    house = rollout.house
    golden = house.store.get(Layout(MODEL).golden(1))
    assert golden is not None
    url = f"{house.stack.model_server_url}/v1/models/{MODEL}/labels/stable:predict"
    traffic = Traffic(url, json.loads(golden.data)["requests"][0]["body"])
    traffic.start()
    try:
        for task in ROLLOUT_TASKS:
            say(f"{task}: killed, marked as failed and so withdrawn, cleared")
            rollout.kill(task)
            rollout.mark_failed_at_work(task)
            # Whatever was touched is taken back by the run itself.
            assert rollout.over() == "failed"
            assert channel(house, "canary") is None
            if task == "promote" and channel(house, "stable") == newer:
                # It had moved the channel before it could be told, and rollback says so.
                assert rollout.state("rollback") == "failed"
                continue
            assert channel(house, "stable") == 1
            # Without a settled version there is nothing to withdraw.
            ends = {"success", "skipped"} if task == "preflight" else {"success"}
            assert rollout.state("rollback") in ends
            rollout.clear("preflight" if task == "preflight" else "deploy")
            rollout.clear_at_work(task)
            rollout.at_work(task)
        if rollout.over() == "failed":
            rollout.clear("promote")
            assert rollout.over() == "success"
        say("gc: killed, marked as failed, cleared")
        rollout.clear("gc")
        rollout.kill("gc")
        rollout.mark_failed_at_work("gc")
        assert rollout.over() == "failed"
        assert channel(house, "stable") == newer
        rollout.clear("gc")
        rollout.clear_at_work("gc")
        assert rollout.over() == "success"
    finally:
        traffic.stop()
    assert (channel(house, "stable"), channel(house, "canary")) == (newer, None)
    assert traffic.asked > 1000
    assert traffic.failed == []


def test_a_rollout_whose_every_task_is_marked_and_cleared_afterwards_stays_as_it_is(
    rollout: Lives, newer: int, say: Callable[[str], None]
) -> None:
    house = rollout.house
    assert rollout.over() == "success"
    kept = sorted(versions(house))
    for task in (*ROLLOUT_TASKS, "gc"):
        say(f"{task}: marked as failed, cleared")
        rollout.mark_failed(task)
        rollout.clear(task, downstream=False)
        wait_for(lambda task=task: rollout.state(task) == "success", f"the end of {task}")
        assert rollout.over() == "success", task
        assert (channel(house, "stable"), channel(house, "canary")) == (newer, None), task
    assert sorted(versions(house)) == kept


def test_a_rollback_that_is_killed_marked_and_cleared_at_work_withdraws_the_canary(
    published: Lives, tmp_path: Path
) -> None:
    house = published.house
    house.api.call("PATCH", f"/dags/{ROLLOUT}", json={"is_paused": False})
    kept = channel(house, "stable")
    newer = publish_another(published, tmp_path)
    run = Lives(house, ROLLOUT, house.api.trigger(ROLLOUT, {"version": newer}))
    run.mark_failed_at_work("probe")
    run.kill("rollback")
    run.mark_failed_at_work("rollback")
    assert run.over() == "failed"
    run.clear("rollback")
    run.clear_at_work("rollback")
    wait_for(lambda: run.state("rollback") == "success", "the end of rollback")
    assert run.over() == "failed"
    assert (channel(house, "stable"), channel(house, "canary")) == (kept, None)
