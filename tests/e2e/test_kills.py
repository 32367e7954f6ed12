"""Processes are killed while a build runs; it finishes the same work."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.house import House

# Airflow takes five minutes to be sure that a task is dead, and then waits before the next try.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

BUILD = "breast_cancer__build"


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def steps(house: House) -> list[int]:
    """Process ids of the steps that this stack's Airflow runs."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
                environment = (folder / "environ").read_bytes()
            except OSError:
                continue
            if b"slipway.run" in command and str(house.stack.workspace).encode() in environment:
                found.append(int(folder.name))
    return found


def test_a_build_whose_steps_are_killed_ends_with_the_same_version(house: House) -> None:
    run_id, state = house.build("breast_cancer")
    assert state == "success"
    before = house.api.result(BUILD, run_id, "publish")["details"]

    run_id = house.api.trigger(BUILD, {"force": True})
    wait_for(lambda: bool(steps(house)))
    for _ in range(2):
        wait_for(lambda: bool(steps(house)))
        for pid in steps(house):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not steps(house))
    assert house.api.wait(BUILD, run_id, within_seconds=900) == "success"
    tries = {task["task_id"]: task["try_number"] for task in house.api.tasks(BUILD, run_id)}
    assert max(tries.values()) > 1, tries
    after = house.api.result(BUILD, run_id, "publish")["details"]
    assert (after["version"], after["digest"]) == (before["version"], before["digest"])
    assert after["already_published"]


def test_a_task_marked_as_failed_leaves_no_process(house: House) -> None:
    run_id = house.api.trigger(BUILD, {"force": True})
    wait_for(lambda: bool(steps(house)))
    running = [t for t in house.api.tasks(BUILD, run_id) if t["state"] == "running"]
    for task in running:
        path = f"/dags/{BUILD}/dagRuns/{run_id}/taskInstances/{task['task_id']}"
        house.api.call("PATCH", path, json={"new_state": "failed"})
    house.api.call("PATCH", f"/dags/{BUILD}/dagRuns/{run_id}", json={"state": "failed"})
    wait_for(lambda: not steps(house))


def test_a_build_survives_the_death_of_the_scheduler(house: House) -> None:
    run_id = house.api.trigger(BUILD, {"force": True})
    wait_for(lambda: bool(steps(house)))
    scheduler = house.stack.table.find("airflow-scheduler")
    assert scheduler is not None
    os.killpg(scheduler.pid, signal.SIGKILL)
    wait_for(lambda: not steps(house))
    house.stack.up()
    assert house.api.wait(BUILD, run_id, within_seconds=1200) == "success"
