"""A whole stack on loopback, and what end-to-end tests ask of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.storage import open_store

if TYPE_CHECKING:
    from slipway.local.airflow import AirflowApi
    from slipway.local.stack import Stack
    from slipway.storage import Store

BUILD_SECONDS = 900.0
ROLLOUT_SECONDS = 300.0


@dataclass(frozen=True)
class House:
    """A running stack and what the tests ask of it."""

    stack: Stack
    api: AirflowApi

    @property
    def store(self) -> Store:
        """The bucket."""
        return open_store("s3://slipway-models", self.stack.credentials)

    def build(self, model: str) -> tuple[str, str]:
        """Run a build to its end: run id and state."""
        return self._run(f"{model}__build", None, BUILD_SECONDS)

    def roll_out(self, model: str, conf: dict[str, Any]) -> tuple[str, str]:
        """Run a rollout by hand to its end: run id and state."""
        return self._run(f"{model}__rollout", conf, ROLLOUT_SECONDS)

    def rollout_of_event(self, model: str) -> tuple[str, str]:
        """The newest rollout, which an asset event started: run id and state."""
        for _ in range(120):
            runs = [r for r in self.api.runs(f"{model}__rollout") if r["run_type"] != "manual"]
            if runs:
                run_id = runs[0]["dag_run_id"]
                dag_id = f"{model}__rollout"
                return run_id, self.api.wait(dag_id, run_id, within_seconds=ROLLOUT_SECONDS)
            time.sleep(0.5)
        raise AssertionError(f"no asset event started {model}__rollout")

    def states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """State by task id."""
        return {task["task_id"]: task["state"] for task in self.api.tasks(dag_id, run_id)}

    def _run(self, dag_id: str, conf: dict[str, Any] | None, seconds: float) -> tuple[str, str]:
        self.api.wait_for_dag(dag_id)
        run_id = self.api.trigger(dag_id, conf)
        return run_id, self.api.wait(dag_id, run_id, within_seconds=seconds)
