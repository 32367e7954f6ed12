"""A real Airflow that rolls out on the test cluster, and what is done to its tasks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import yaml

from slipway.errors import SlipwayError
from slipway.kubernetes import names
from slipway.local import airflow
from slipway.local.airflow import AirflowApi, AirflowLayout
from slipway.local.processes import ProcessTable, free_port
from slipway.serving.channels import read_channel
from support.kubernetes.cluster import until
from support.specs import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from slipway.rollout.session import RolloutConfig
    from support.kubernetes.rollouts import ClusterStack

_RUN_SECONDS = 300.0


@dataclass(frozen=True)
class RolloutAirflow:
    """Runs of rollout DAGs.

    Attributes:
        api: Airflow's REST API.
        specs: The folder of the specs.
    """

    api: AirflowApi
    specs: Path

    def add(self, model: str, config: RolloutConfig, retry_delay_seconds: int = 1) -> None:
        """Adds a model's spec, and waits for its DAG."""
        spec = {
            "model": model,
            "definition": "digits",
            "gates": {"metrics": {"accuracy": {"floor": 0.5}}},
            "objective": {"maximise": "accuracy"},
            "publish": {"base_uri": config.base_uri},
            "serve": config.serve.model_dump(mode="json"),
            "rollout": config.rollout.model_dump(mode="json"),
            "execution": {"retries": 3, "retry_delay_seconds": retry_delay_seconds},
        }
        (self.specs / f"{model}.yaml").write_text(yaml.safe_dump(spec))
        self.api.wait_for_dag(f"{model}__rollout")

    def resize_pool(self, slots: int) -> None:
        """How many tasks may run at once; with 0 none is queued."""
        self.api.call("PATCH", "/pools/default_pool?update_mask=slots", json={"slots": slots})

    def start(self, model: str, version: int) -> Run:
        """Starts a rollout."""
        dag_id = f"{model}__rollout"
        return Run(self.api, dag_id, self.api.trigger(dag_id, {"version": version}))


@dataclass(frozen=True)
class Run:
    """A run of a rollout DAG."""

    api: AirflowApi
    dag_id: str
    run_id: str

    def task(self, task_id: str) -> dict[str, Any]:
        """A task instance."""
        path = f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{task_id}"
        found: dict[str, Any] = self.api.call("GET", path)
        return found

    def states(self) -> dict[str, str]:
        """State by task."""
        return {task["task_id"]: task["state"] for task in self.api.tasks(self.dag_id, self.run_id)}

    def until(self, task_id: str, state: str, seconds: float = 120) -> dict[str, Any]:
        """Waits until a task is in a state; as it is then."""

        def there() -> dict[str, Any] | None:
            task = self.task(task_id)
            return task if task["state"] == state else None

        found: dict[str, Any] = until(there, f"{task_id} is {state}", seconds)
        return found

    def asked(self, task_id: str) -> dict[str, Any]:
        """What a person is shown, once a task asks; its subject and body."""
        self.until(task_id, "awaiting_input")
        found: dict[str, Any] = self.api.call("GET", self._question(task_id))
        return found

    def answer(self, task_id: str, option: str) -> None:
        """Answers as a person does under Required Actions."""
        # Before Airflow has taken note that the process which asked is over, an answer confuses it.
        time.sleep(3)
        given = {"chosen_options": [option], "params_input": {}}
        self.api.call("PATCH", self._question(task_id), json=given)

    def _question(self, task_id: str) -> str:
        return f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{task_id}/-1/hitlDetails"

    def clear(self, task_id: str, *, downstream: bool = False) -> None:
        """Clears a task."""
        self.api.clear(self.dag_id, self.run_id, [task_id], downstream=downstream)

    def end(self) -> str:
        """Waits for the end; the run's state."""
        return self.api.wait(self.dag_id, self.run_id, within_seconds=_RUN_SECONDS)


@dataclass
class Killer:
    """Kills the process of every task of a run once, as soon as it runs.

    Attributes:
        run: The run.
        killed: Tasks whose process was killed.
    """

    run: Run
    killed: set[str] = field(default_factory=set)

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._kill_all)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _kill_all(self) -> None:
        while not self._over.wait(0.1):
            with suppress(SlipwayError):
                for task in self.run.api.tasks(self.run.dag_id, self.run.run_id):
                    self._kill(task)

    def _kill(self, task: dict[str, Any]) -> None:
        if task["state"] == "running" and task["pid"] and task["task_id"] not in self.killed:
            kill(task)
            self.killed.add(task["task_id"])


def kill(task: dict[str, Any]) -> None:
    """Kills the process of a task that runs."""
    with suppress(ProcessLookupError):
        os.kill(task["pid"], signal.SIGKILL)


@dataclass
class Watch:
    """Sees that there is one canary at most, and that stable's Deployment is not touched.

    Attributes:
        stack: The cluster.
        namespace: Where.
        model: The model.
        stable: The version that is stable until the channel moves.
        problems: What was seen that must not be.
        looks: How often was looked.
    """

    stack: ClusterStack
    namespace: str
    model: str
    stable: int
    problems: list[str] = field(default_factory=list)
    looks: int = 0

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._was = self._deployments()[self._stable_name]
        self._thread = threading.Thread(target=self._look_on)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def _stable_name(self) -> str:
        return names.version_service(self.model, self.stable)

    def _deployments(self) -> dict[str, dict[str, Any]]:
        found = self.stack.api.list("Deployment", self.namespace)
        return {each["metadata"]["name"]: each["metadata"] for each in found}

    def _look_on(self) -> None:
        while not self._over.wait(0.3):
            with suppress(SlipwayError):
                promoted = self._is_promoted()
                found = self._deployments()
                self.looks += 1
                if len(found) > 2:  # stable and one canary
                    self.problems.append(f"{time.time():.1f} there are {sorted(found)}")
                now = found.get(self._stable_name)
                if not promoted and (now is None or self._changed(now)):
                    self.problems.append(f"{time.time():.1f} stable is {now}, it was {self._was}")

    def _is_promoted(self) -> bool:
        channel = read_channel(self.stack.store, self.model, "stable")
        return channel is not None and channel.version != self.stable

    def _changed(self, now: dict[str, Any]) -> bool:
        return any(now[name] != self._was[name] for name in ("uid", "generation"))


@contextmanager
def rollout_airflow(stack: ClusterStack, folder: Path) -> Iterator[RolloutAirflow]:
    """Starts an Airflow whose connections lead to the cluster, its bucket and its Prometheus."""
    dags = folder / "project" / "dags"
    (dags / "models").mkdir(parents=True)
    shutil.copy(PROJECT / "dags" / "model_pipelines.py", dags)
    (folder / "project" / "include").symlink_to(PROJECT / "include")
    layout = AirflowLayout(folder / "airflow", PROJECT, dags, free_port())
    layout.home.mkdir()
    environment = {
        **layout.environment(
            {name: json.dumps(made) for name, made in _connections(stack).items()}
        ),
        "SLIPWAY_WORKSPACE": str(folder / "workspace"),
    }
    airflow.migrate(environment)
    table = ProcessTable(folder)
    try:
        table.start_all(airflow.services(layout, environment))
        yield RolloutAirflow(AirflowApi(layout.url), dags / "models")
    finally:
        table.stop_all()


def _connections(stack: ClusterStack) -> dict[str, dict[str, Any]]:
    keys = stack.environment
    host, _, port = keys["SLIPWAY_PROMETHEUS_URL"].removeprefix("http://").partition(":")
    config = yaml.safe_load(stack.cluster.kubeconfig.read_text())
    return {
        "aws_default": {
            "conn_type": "aws",
            "login": keys["AWS_ACCESS_KEY_ID"],
            "password": keys["AWS_SECRET_ACCESS_KEY"],
            "extra": {"endpoint_url": keys["AWS_ENDPOINT_URL_S3"], "region_name": "us-east-1"},
        },
        "prometheus_default": {"conn_type": "http", "host": host, "port": int(port)},
        "kubernetes_default": {
            "conn_type": "kubernetes",
            "extra": {"kube_config": json.dumps(config)},
        },
    }
