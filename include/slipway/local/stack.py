"""The whole of Slipway on one machine: S3, Prometheus, the model server and Airflow on loopback."""

from __future__ import annotations

import json
import secrets
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from slipway.contracts import Contract
from slipway.local import airflow
from slipway.local.airflow import AirflowLayout
from slipway.local.processes import ProcessTable, Service, answers, free_port
from slipway.local.prometheus import Prometheus
from slipway.local.s3_server import S3Server
from slipway.storage.credentials import StoreCredentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

BUCKET = "slipway-models"
_MONITORING = 'prometheus_config { enable: true, path: "/monitoring/prometheus/metrics" }\n'


class Addresses(Contract):
    """Ports and keys of one stack, made up once and kept in a file of its owner's alone."""

    s3: int
    prometheus: int
    model_server: int
    airflow: int
    access_key_id: str
    secret_access_key: str

    @classmethod
    def choose(cls) -> Addresses:
        """Free ports, and keys that nobody knows."""
        ports = {name: free_port() for name in ("s3", "prometheus", "model_server", "airflow")}
        keys = {"access_key_id": secrets.token_hex(8), "secret_access_key": secrets.token_hex(20)}
        return cls.model_validate({**ports, **keys})


class Stack:
    """The servers of one folder.

    Args:
        folder: Everything that the servers keep; the same folder later has the same buckets,
            runs and addresses.
        project: The checkout with dags/, plugins/ and include/.
        dags: The folder that Airflow parses; default: the project's.
        connections: More Airflow connections, by id; for another bucket, for example.
        environment: More variables for the model server, which needs that bucket, too.
        say: Told what is going on.
    """

    def __init__(
        self,
        folder: Path,
        project: Path,
        *,
        dags: Path | None = None,
        connections: Mapping[str, dict[str, Any]] | None = None,
        environment: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.folder = folder.resolve()
        self.project = project.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.table = ProcessTable(self.folder)
        self.say = say
        self._more_connections = dict(connections or {})
        self._more_environment = dict(environment or {})
        self.addresses = self._addresses()
        home = self.folder / "airflow"
        home.mkdir(exist_ok=True)
        self.airflow = AirflowLayout(
            home, self.project, (dags or self.project / "dags").resolve(), self.addresses.airflow
        )

    @property
    def workspace(self) -> Path:
        """Where the steps leave their artifacts."""
        return self.folder / "workspace"

    @property
    def model_server_url(self) -> str:
        """Address of the model server's REST API."""
        return f"http://127.0.0.1:{self.addresses.model_server}"

    @property
    def prometheus_url(self) -> str:
        """Address of Prometheus."""
        return f"http://127.0.0.1:{self.addresses.prometheus}"

    @property
    def model_config_file(self) -> Path:
        """The model config file that the model server follows."""
        return self.folder / "models.config"

    @property
    def credentials(self) -> StoreCredentials:
        """What opens the bucket."""
        return StoreCredentials.model_validate(
            {
                "access_key_id": self.addresses.access_key_id,
                "secret_access_key": self.addresses.secret_access_key,
                "endpoint_url": f"http://127.0.0.1:{self.addresses.s3}",
                "region": "us-east-1",
            }
        )

    def environment(self) -> dict[str, str]:
        """What a step or a command needs to reach this stack without Airflow."""
        return {
            **self.credentials.to_environment(),
            "SLIPWAY_WORKSPACE": str(self.workspace),
            "SLIPWAY_MODEL_SERVER_URL": self.model_server_url,
            "SLIPWAY_MODEL_CONFIG_FILE": str(self.model_config_file),
            "SLIPWAY_PROMETHEUS_URL": self.prometheus_url,
        }

    def up(self, *, with_airflow: bool = True) -> None:
        """Start what does not run yet, and wait until all of it is ready.

        Raises:
            SlipwayError: naming the server that is not ready, with the end of its log.
        """
        self.say("S3 server")
        self._start_s3()
        self.say("Prometheus")
        self._start_prometheus()
        others = [self._model_server()]
        names = "model server"
        if with_airflow:
            environment = self._airflow_environment()
            if not self._migrated.exists():
                self.say("Airflow's database")
                airflow.migrate(environment)
                self._migrated.touch()
            others += airflow.services(self.airflow, environment)
            names += "; Airflow's API server, scheduler, DAG processor and triggerer"
        self.say(names)
        self.table.start_all(others)

    @property
    def _migrated(self) -> Path:
        """Stands for a database that was brought up to this Airflow, to the end."""
        return self.airflow.home / f"migrated-{version('apache-airflow-core')}"

    def down(self) -> list[str]:
        """End every server; the names of those that ran."""
        return self.table.stop_all()

    def _addresses(self) -> Addresses:
        file = self.folder / "addresses.json"
        if file.is_file():
            try:
                return Addresses.model_validate_json(file.read_bytes())
            except ValidationError:
                file.unlink()
        file.touch(0o600)
        addresses = Addresses.choose()
        addresses.write(file)
        file.chmod(0o600)
        return addresses

    def _start_s3(self) -> None:
        if self.table.find("s3"):
            return
        with self.table.mark():
            server = S3Server(
                self.folder / "s3", credentials=self.credentials, port=self.addresses.s3
            ).start()
        if server.process:
            self.table.adopt("s3", server.process.pid, server.log)
        server.create_bucket(BUCKET)

    def _start_prometheus(self) -> None:
        if self.table.find("prometheus"):
            return
        folder = self.folder / "prometheus"
        target = f"127.0.0.1:{self.addresses.model_server}"
        with self.table.mark():
            server = Prometheus(folder, targets=[target], port=self.addresses.prometheus).start()
        if server.process:
            self.table.adopt("prometheus", server.process.pid, server.log)

    def _model_server(self) -> Service:
        monitoring = self.folder / "monitoring.config"
        monitoring.write_text(_MONITORING)
        if not self.model_config_file.exists():
            self.model_config_file.write_text("model_config_list {}\n")
        command = (
            sys.executable,
            "-m",
            "slipway.serving.server",
            f"--rest_api_port={self.addresses.model_server}",
            f"--model_config_file={self.model_config_file}",
            "--model_config_file_poll_wait_seconds=1",
            "--file_system_poll_wait_seconds=1",
            # Started again, it finds labels in its config file before any version is loaded.
            "--allow_version_labels_for_unavailable_models=true",
            # A version that cannot be loaded is to be known before the rollout's patience ends.
            "--max_num_load_retries=1",
            "--load_retry_interval_micros=1000000",
            f"--monitoring_config_file={monitoring}",
            "--prefer_tflite_model=true",
        )
        url = f"{self.model_server_url}/monitoring/prometheus/metrics"
        environment = {**self.environment(), **self._more_environment}
        return Service("model-server", command, lambda: answers(url), environment)

    def _airflow_environment(self) -> dict[str, str]:
        environment = self.airflow.environment(
            {name: json.dumps(value) for name, value in self._connections().items()}
        )
        return {**environment, "SLIPWAY_WORKSPACE": str(self.workspace)}

    def _connections(self) -> dict[str, dict[str, Any]]:
        return {
            "aws_default": {
                "conn_type": "aws",
                "login": self.addresses.access_key_id,
                "password": self.addresses.secret_access_key,
                "extra": {
                    "endpoint_url": f"http://127.0.0.1:{self.addresses.s3}",
                    "region_name": "us-east-1",
                },
            },
            "model_server_default": {
                "conn_type": "http",
                "host": "127.0.0.1",
                "port": self.addresses.model_server,
                "extra": {"model_config_file": str(self.model_config_file)},
            },
            "prometheus_default": {
                "conn_type": "http",
                "host": "127.0.0.1",
                "port": self.addresses.prometheus,
            },
            **self._more_connections,
        }
