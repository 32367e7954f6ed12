"""A whole stack on loopback, and what end-to-end tests ask of it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from slipway.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from slipway.local.airflow import AirflowApi
    from slipway.local.gcs_server import GcsServer
    from slipway.local.stack import Stack
    from slipway.storage import Store
    from support.moto_sqs import SqsServer

BUILD_SECONDS = 900.0
ROLLOUT_SECONDS = 300.0
GCS_URI = "gs://slipway-models/e2e"


@dataclass(frozen=True)
class House:
    """A running stack and what the tests ask of it."""

    stack: Stack
    api: AirflowApi
    gcs_server: GcsServer
    specs: Path
    sqs: SqsServer

    @property
    def store(self) -> Store:
        """The bucket."""
        return open_store("s3://slipway-models", self.stack.credentials)

    @property
    def gcs(self) -> Store:
        """The bucket on the GCS server."""
        return open_store(GCS_URI, self.gcs_server.credentials)

    def build(self, model: str) -> tuple[str, str]:
        """Run a build to its end: run id and state."""
        return self._run(f"{model}__build", None, BUILD_SECONDS)

    def roll_out(self, model: str, conf: dict[str, Any]) -> tuple[str, str]:
        """Run a rollout by hand to its end: run id and state."""
        return self._run(f"{model}__rollout", conf, ROLLOUT_SECONDS)

    def rollout_of_event(self, model: str, but: Collection[str] = ()) -> tuple[str, str]:
        """The newest rollout but these, which an asset event started: run id and state."""
        for _ in range(120):
            runs = [r for r in self.api.runs(f"{model}__rollout") if r["run_type"] != "manual"]
            ids = [run["dag_run_id"] for run in runs if run["dag_run_id"] not in but]
            if ids:
                dag_id = f"{model}__rollout"
                return ids[0], self.api.wait(dag_id, ids[0], within_seconds=ROLLOUT_SECONDS)
            time.sleep(0.5)
        raise AssertionError(f"no asset event started {model}__rollout")

    def states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """State by task id."""
        return {task["task_id"]: task["state"] for task in self.api.tasks(dag_id, run_id)}

    def _run(self, dag_id: str, conf: dict[str, Any] | None, seconds: float) -> tuple[str, str]:
        self.api.wait_for_dag(dag_id)
        run_id = self.api.trigger(dag_id, conf)
        return run_id, self.api.wait(dag_id, run_id, within_seconds=seconds)


class Traffic(threading.Thread):
    """Asks stable again and again, and keeps what went wrong."""

    def __init__(self, url: str, body: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self.url, self.body = url, body
        self.asked, self.failed = 0, list[str]()
        self._over = threading.Event()

    def run(self) -> None:
        with httpx.Client(timeout=30) as client:
            while not self._over.wait(0.02):
                self.asked += 1
                try:
                    answer = client.post(self.url, json=self.body)
                except httpx.HTTPError as error:
                    self.failed.append(repr(error))
                    continue
                if answer.status_code != 200:
                    self.failed.append(answer.text)

    def stop(self) -> None:
        self._over.set()
        self.join(60)
