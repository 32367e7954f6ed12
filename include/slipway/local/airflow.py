"""A real Airflow on loopback: SQLite, LocalExecutor, every component a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from slipway.errors import TerminalError, TransientError
from slipway.local.processes import Service, answers

if TYPE_CHECKING:
    from collections.abc import Mapping

_BIN = Path(sys.executable).parent
POOL = "slipway"
_POOL_SLOTS = 2
_FINAL = {"success", "failed"}
# What the database lets a writer wait for another; the client waits longer, for the answer.
_LOCK_SECONDS = 60
_ANSWER_SECONDS = 90.0
_PAUSES_SECONDS = (1.0, 5.0)


@dataclass(frozen=True)
class AirflowLayout:
    """Where one Airflow keeps its things and listens.

    Attributes:
        home: AIRFLOW_HOME.
        project: The checkout with dags/ and plugins/.
        dags: The folder that Airflow parses.
        port: Port of the API server and the UI.
    """

    home: Path
    project: Path
    dags: Path
    port: int

    @property
    def url(self) -> str:
        """Address of the UI and the REST API."""
        return f"http://127.0.0.1:{self.port}"

    def environment(self, connections: Mapping[str, str]) -> dict[str, str]:
        """Everything that an Airflow process needs to know.

        Args:
            connections: Airflow connections as JSON, by connection id.
        """
        settings = {
            "CORE__DAGS_FOLDER": str(self.dags),
            "CORE__PLUGINS_FOLDER": str(self.project / "plugins"),
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": "4",
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "1",
            # Bytes of a rendered request that the UI shows; the default cuts promote's.
            "CORE__MAX_TEMPLATED_FIELD_LENGTH": "32768",
            "DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
            "DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
            "API__BASE_URL": self.url,
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self.port),
            # Seconds that a writer waits for another; with SQLite's own 5 a busy machine gets 500s.
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home}/airflow.db?timeout={_LOCK_SECONDS}",
            "LOGGING__LOGGING_LEVEL": "INFO",
        }
        return {
            "AIRFLOW_HOME": str(self.home),
            **{f"AIRFLOW__{name}": value for name, value in settings.items()},
            **{f"AIRFLOW_CONN_{name.upper()}": value for name, value in connections.items()},
        }


def migrate(environment: Mapping[str, str]) -> None:
    """Create or upgrade the metadata database, and the pool of the builds.

    Raises:
        TerminalError: with what Airflow said, if it fails.
    """
    _airflow(environment, "db", "migrate")
    about = "Slipway's builds: steps that work at once, of all models"
    _airflow(environment, "pools", "set", POOL, str(_POOL_SLOTS), about)


def _airflow(environment: Mapping[str, str], *arguments: str) -> None:
    done = subprocess.run(
        [str(_BIN / "airflow"), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        shown = " ".join(("airflow", *arguments))
        raise TerminalError(
            f"{shown} failed:\n{done.stderr[-2000:]}",
            hint="`make down` and try again; the metadata of a demo can be thrown away",
            subject=shown,
        )


def services(layout: AirflowLayout, environment: Mapping[str, str]) -> list[Service]:
    """The components: API server, scheduler, DAG processor and triggerer."""
    airflow = str(_BIN / "airflow")
    health = f"{layout.url}/api/v2/monitor/health"

    def component(name: str, *arguments: str) -> Service:
        field = name.replace("-", "_")

        def ready() -> bool:
            return _healthy(health, field)

        command = (airflow, name, *arguments)
        return Service(f"airflow-{name}", command, ready, environment, 120)

    def api_answers() -> bool:
        return answers(health)

    command = (airflow, "api-server", "--host", "127.0.0.1", "--port", str(layout.port))
    return [
        Service("airflow-api-server", command, api_answers, environment, 120),
        component("scheduler", "--skip-serve-logs"),
        component("dag-processor"),
        component("triggerer", "--skip-serve-logs"),
    ]


def _healthy(url: str, component: str) -> bool:
    try:
        state = httpx.get(url, timeout=5).json()
    except (httpx.TransportError, ValueError):
        return False
    return bool((state.get(component) or {}).get("status") == "healthy")


def _log_text(line: Any) -> str:
    if not isinstance(line, dict):
        return str(line)
    errors = [
        f"{error['exc_type']}: {error['exc_value']}" for error in line.get("error_detail") or ()
    ]
    return "\n".join([str(line.get("event", "")), *errors])


class _ServerError(TransientError):
    """Airflow answered 5xx: whatever it had begun was taken back."""


class AirflowApi:
    """The part of Airflow's REST API that the demo and the tests need."""

    def __init__(self, url: str) -> None:
        token = httpx.get(f"{url}/auth/token", timeout=30).json()["access_token"]
        self._client = httpx.Client(
            base_url=f"{url}/api/v2",
            headers={"Authorization": f"Bearer {token}"},
            timeout=_ANSWER_SECONDS,
        )

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """One call, tried again if Airflow answers 5xx; the answer's JSON.

        Raises:
            TransientError: if Airflow does not answer.
            TerminalError: if it refuses the call.
        """
        for pause in _PAUSES_SECONDS:
            try:
                return self._call(method, path, **arguments)
            except _ServerError:
                time.sleep(pause)
        return self._call(method, path, **arguments)

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            response = self._client.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise TransientError(
                f"Airflow does not answer {method} {path}: {error}",
                hint="read the API server's log",
                subject=path,
            ) from None
        if response.is_server_error:
            raise _ServerError(
                f"Airflow answered {response.status_code} to {method} {path}: {response.text}",
                hint="read the API server's log; SQLite under many writers may refuse one",
                subject=path,
            )
        if response.is_error:
            raise TerminalError(
                f"Airflow answered {response.status_code} to {method} {path}: {response.text}",
                hint="check that the DAG is parsed: the UI shows import errors",
                subject=path,
            )
        return response.json() if response.content else None

    def wait_for_dag(self, dag_id: str, *, within_seconds: float = 120) -> None:
        """Wait until the DAG processor has parsed a DAG, and let it run.

        Raises:
            TransientError: if it is not there in time, with the import errors.
        """
        deadline = time.monotonic() + within_seconds
        while True:
            try:
                self.call("PATCH", f"/dags/{dag_id}", json={"is_paused": False})
            except TerminalError:
                if time.monotonic() > deadline:
                    errors = self.call("GET", "/importErrors")["import_errors"]
                    raise TransientError(
                        f"Airflow has not parsed {dag_id} after {within_seconds:g} s: {errors}",
                        hint="read the DAG processor's log",
                        subject=dag_id,
                    ) from None
                time.sleep(0.5)
            else:
                return

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Start a run; its id."""
        body = {"logical_date": None, "conf": conf or {}}
        run_id: str = self.call("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"]
        return run_id

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """A run."""
        found: dict[str, Any] = self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")
        return found

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """The runs of a DAG, the newest first."""
        path = f"/dags/{dag_id}/dagRuns?order_by=-run_after&limit=50"
        found: list[dict[str, Any]] = self.call("GET", path)["dag_runs"]
        return found

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=200"
        found: list[dict[str, Any]] = self.call("GET", path)["task_instances"]
        return found

    def result(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """What a task returned."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        return self.call("GET", path)["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> str:
        """The log of a task instance, as text."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        content = self.call("GET", path, params={"full_content": True})["content"]
        return "\n".join(_log_text(line) for line in content)

    def clear(self, dag_id: str, run_id: str, task_ids: list[str], *, downstream: bool) -> None:
        """Clear tasks of a finished or running run, so that they run again."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": task_ids,
            "only_failed": False,
            "include_downstream": downstream,
            "reset_dag_runs": True,
        }
        self.call("POST", f"/dags/{dag_id}/clearTaskInstances", json=body)

    def wait(self, dag_id: str, run_id: str, *, within_seconds: float) -> str:
        """Wait for a run to end; its state.

        Raises:
            TransientError: if it is still running then.
        """
        deadline = time.monotonic() + within_seconds
        while time.monotonic() < deadline:
            state: str = self.run(dag_id, run_id)["state"]
            if state in _FINAL:
                return state
            time.sleep(0.5)
        raise TransientError(
            f"{dag_id} {run_id} is still running after {within_seconds:g} s",
            hint="look at the run in the UI",
            subject=run_id,
        )
