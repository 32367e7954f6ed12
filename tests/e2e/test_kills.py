"""Processes are killed while a build runs; it finishes the same work."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from support.airflow_lives import kill_component, step_processes, wait_for

if TYPE_CHECKING:
    from support.house import House

# Airflow takes a minute to be sure that a task is dead, and then waits before the next try.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

BUILD = "breast_cancer__build"


def test_a_build_whose_steps_are_killed_ends_with_the_same_version(house: House) -> None:
    run_id, state = house.build("breast_cancer")
    assert state == "success"
    before = house.api.result(BUILD, run_id, "publish")["details"]

    run_id = house.api.trigger(BUILD, {"force": True})
    wait_for(lambda: bool(step_processes(house)), "a step")
    for _ in range(2):
        wait_for(lambda: bool(step_processes(house)), "a step")
        for pid in step_processes(house):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not step_processes(house), "no step left")
    assert house.api.wait(BUILD, run_id, within_seconds=900) == "success"
    tries = {task["task_id"]: task["try_number"] for task in house.api.tasks(BUILD, run_id)}
    assert max(tries.values()) > 1, tries
    after = house.api.result(BUILD, run_id, "publish")["details"]
    assert (after["version"], after["digest"]) == (before["version"], before["digest"])
    assert after["already_published"]


def test_a_task_marked_as_failed_leaves_no_process(house: House) -> None:
    run_id = house.api.trigger(BUILD, {"force": True})
    wait_for(lambda: bool(step_processes(house)), "a step")
    running = [t for t in house.api.tasks(BUILD, run_id) if t["state"] == "running"]
    for task in running:
        path = f"/dags/{BUILD}/dagRuns/{run_id}/taskInstances/{task['task_id']}"
        house.api.call("PATCH", path, json={"new_state": "failed"})
    house.api.call("PATCH", f"/dags/{BUILD}/dagRuns/{run_id}", json={"state": "failed"})
    wait_for(lambda: not step_processes(house), "no step left")


def test_a_build_survives_the_death_of_the_scheduler(house: House) -> None:
    run_id = house.api.trigger(BUILD, {"force": True})
    wait_for(lambda: bool(step_processes(house)), "a step")
    kill_component(house, "airflow-scheduler")
    wait_for(lambda: not step_processes(house), "no step left")
    house.stack.up()
    assert house.api.wait(BUILD, run_id, within_seconds=1200) == "success"
