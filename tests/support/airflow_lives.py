"""The tasks of a model in a real Airflow, taken at every moment of their lives."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.house import House

_ENDED = frozenset({"success", "failed", "skipped", "upstream_failed"})
_WAITS = frozenset({"deferred", "awaiting_input"})
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
    """Process ids of the steps that a stack's Airflow runs."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                command = (folder / "cmdline").read_bytes()
                environment = (folder / "environ").read_bytes()
                if b"slipway.run" in command and str(house.stack.workspace).encode() in environment:
                    found.append(int(folder.name))
    return found


def kill_component(house: House, name: str) -> None:
    """Kill one of Airflow's components with all that it started."""
    found = house.stack.table.find(name)
    assert found is not None
    os.killpg(found.pid, signal.SIGKILL)


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
        return self.house.states(self.dag_id, self.run_id)[task]

    def tries(self, task: str) -> int:
        """How often it was begun."""
        path = self._path(task)
        return int(self.house.api.call("GET", path)["try_number"])

    def at_work(self, task: str) -> None:
        """Wait until it works: its process runs a step, or it waits for what is outside."""

        def working() -> bool:
            state = self.state(task)
            assert state not in {"failed", "upstream_failed"}, f"{task} is {state}"
            return state in _WAITS or (state == "running" and bool(step_processes(self.house)))

        wait_for(working, f"{task} at work")

    def ended(self, task: str) -> str:
        """Wait for its end; its state."""
        wait_for(lambda: self.state(task) in _ENDED, f"the end of {task}")
        return str(self.state(task))

    def kill(self, task: str) -> None:
        """Kill what works on it, and see its step die too and Airflow begin it again."""
        tried = self.tries(task)
        if self.state(task) in _WAITS:
            kill_component(self.house, "airflow-triggerer")
            self.house.stack.up()
            return
        [step] = step_processes(self.house)[:1]
        os.kill(_parent(step), signal.SIGKILL)
        wait_for(lambda: not Path(f"/proc/{step}").exists(), f"the end of {task}'s step")
        wait_for(lambda: self.tries(task) > tried, f"another try of {task}")

    def mark_failed(self, task: str) -> None:
        """Mark it as failed, as a person does; nothing of it goes on."""
        mine = step_processes(self.house) if self.state(task) == "running" else []
        self.house.api.call("PATCH", self._path(task), json={"new_state": "failed"})

        def over() -> bool:
            return not any(Path(f"/proc/{pid}").exists() for pid in mine)

        wait_for(over, f"the end of {task}'s step", _ORPHAN_SECONDS)
        assert self.state(task) == "failed"

    def clear(self, task: str, *, downstream: bool = True) -> None:
        """Clear it, as a person does."""
        self.house.api.clear(self.dag_id, self.run_id, [task], downstream=downstream)

    def over(self) -> str:
        """Wait for the end of the run, with no process left of it; its state."""
        state = self.house.api.wait(self.dag_id, self.run_id, within_seconds=300)
        wait_for(lambda: not step_processes(self.house), "no process left", _ORPHAN_SECONDS)
        return state

    def _path(self, task: str) -> str:
        return f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{task}"


def _parent(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(status.partition("PPid:")[2].split()[0])
