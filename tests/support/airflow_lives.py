"""The tasks of a model in a real Airflow, taken at every moment of their lives."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.house import House

_WAITS = frozenset({"deferred", "awaiting_input"})
_STEPS = {"train_export": "train"}  # where a task has another name than its step
_SECONDS = 180.0
# Airflow tells a task at its next heartbeat, every 5 s, and gives it 5 s to end.
_ORPHAN_SECONDS = 30.0


def wait_for(condition: Callable[[], bool], what: str, seconds: float = _SECONDS) -> None:
    """Wait until something holds, or fail with what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)


def step_processes(house: House) -> list[int]:
    """Process ids of the steps that a stack's Airflow runs, with what they have started."""
    return [pid for pid, _ in _steps(house)]


def _steps(house: House) -> Iterator[tuple[int, Path]]:
    """Process id and request of each."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                command = (folder / "cmdline").read_bytes().split(b"\0")
                environment = (folder / "environ").read_bytes()
                if b"slipway.run" in command and str(house.stack.workspace).encode() in environment:
                    request = command[command.index(b"--request") + 1].decode()
                    yield int(folder.name), Path(request)


def kill_component(house: House, name: str) -> None:
    """Kill one of Airflow's components with all that it started; it is gone afterwards."""
    found = house.stack.table.find(name)
    assert found is not None
    os.killpg(found.pid, signal.SIGKILL)
    wait_for(lambda: not found.lingers, f"the end of {name}")


def tend(house: House) -> None:
    """Start the scheduler again if it ended by itself, as Kubernetes and compose do.

    On SQLite, which locks no rows, Airflow 3.3.2's ends with a StaleDataError when a task is
    cleared in the moment in which it is scheduled.
    """
    if house.stack.table.find("airflow-scheduler") is None:
        house.stack.up()


@dataclass(frozen=True)
class Lives:
    """One run, whose steps work one at a time.

    Args:
        house: The stack in which it runs.
        dag_id: Its DAG.
        run_id: The run.
    """

    house: House
    dag_id: str
    run_id: str

    def state(self, task: str) -> str | None:
        """A task's state."""
        tend(self.house)
        return self.house.states(self.dag_id, self.run_id)[task]

    def tries(self, task: str) -> int:
        """How often it was begun."""
        tend(self.house)
        path = self._path(task)
        return int(self.house.api.call("GET", path)["try_number"])

    def at_work(self, task: str) -> int | None:
        """Wait until it works; the process of its step, None if it waits for what is outside.

        One that was too quick to be seen is cleared, to work again.
        """
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            step = self._step(task)
            if step is not None:
                return step
            state = self.state(task)
            if state in _WAITS:
                return None
            assert state not in {"failed", "upstream_failed", "skipped"}, f"{task} is {state}"
            if state == "success":
                self.clear(task)
        raise AssertionError(f"{task} was not at work within {_SECONDS:g} s")

    def _step(self, task: str) -> int | None:
        """The process of a task's step, which leads its group."""
        group, _, name = task.rpartition(".")
        name = _STEPS.get(name, name)
        for pid, request in _steps(self.house):
            with suppress(OSError, ValueError):
                asked = json.loads(request.read_text("utf-8"))
                own = (asked["variant"] or "", asked["step"]) == (group, name)
                if own and os.getpgid(pid) == pid:
                    return pid
        return None

    def kill(self, task: str) -> None:
        """Kill what works on it, and see its step die too and Airflow begin it again."""
        step = self.at_work(task)
        if step is None:
            kill_component(self.house, "airflow-triggerer")
            self.house.stack.up()
            return
        tried = self.tries(task)
        os.kill(_parent(step), signal.SIGKILL)
        wait_for(lambda: not _lives(step), f"the end of {task}'s step", _ORPHAN_SECONDS)
        wait_for(lambda: self.tries(task) > tried, f"another try of {task}")

    def mark_failed_at_work(self, task: str) -> None:
        """Mark it as failed while it works, as a person does; its process ends."""
        step = self.at_work(task)
        self.mark_failed(task)
        if step is not None:
            wait_for(lambda: not _lives(step), f"the end of {task}'s step", _ORPHAN_SECONDS)
        assert self.state(task) == "failed"

    def mark_failed(self, task: str) -> None:
        """Mark it as failed, as a person does."""
        self.house.api.call("PATCH", self._path(task), json={"new_state": "failed"})
        assert self.state(task) == "failed"

    def clear_at_work(self, task: str) -> None:
        """Clear it while it works, as a person does; its process ends and another follows."""
        step = self.at_work(task)
        self.clear(task)
        if step is not None:
            wait_for(lambda: not _lives(step), f"the end of {task}'s step", _ORPHAN_SECONDS)

    def clear(self, task: str, *, downstream: bool = True) -> None:
        """Clear it, as a person does."""
        self.house.api.clear(self.dag_id, self.run_id, [task], downstream=downstream)

    def over(self) -> str:
        """Wait for the end of the run, with no process left of it; its state."""
        tend(self.house)
        state = self.house.api.wait(self.dag_id, self.run_id, within_seconds=300)
        wait_for(lambda: not step_processes(self.house), "no process left", _ORPHAN_SECONDS)
        return state

    def _path(self, task: str) -> str:
        return f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{task}"


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _parent(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(status.partition("PPid:")[2].split()[0])
