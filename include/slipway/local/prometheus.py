"""A real Prometheus on loopback: for one machine and for tests."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING, Self

import httpx

from slipway.errors import TerminalError, TransientError
from slipway.local.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

MODEL_SERVER_METRICS_PATH = "/monitoring/prometheus/metrics"

_PROGRAM = "prometheus"
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05


class Prometheus:
    """A Prometheus that scrapes model servers.

    A context manager: the server is up inside and gone after it. `start` and `stop` do the same
    for whoever wants to leave it running.

    Args:
        folder: Where configuration, log and data go; the same folder later has the same samples.
        targets: Addresses to scrape, as host:port.
        port: Of its own HTTP server; 0 takes a free one.
        scrape_seconds: Seconds between two scrapes of a target.
        metrics_path: Where the targets show their metrics.
    """

    def __init__(
        self,
        folder: Path,
        *,
        targets: Sequence[str],
        port: int = 0,
        scrape_seconds: int = 1,
        metrics_path: str = MODEL_SERVER_METRICS_PATH,
    ) -> None:
        self.folder = folder
        self.targets = tuple(targets)
        self.process: subprocess.Popen[bytes] | None = None
        self._port = port
        self._scrape_seconds = scrape_seconds
        self._metrics_path = metrics_path

    @property
    def url(self) -> str:
        """Where it answers, once it was started."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> Self:
        """Start the server and wait until it answers queries.

        Raises:
            TerminalError: The program is not installed.
            TransientError: The server did not come up; its log is named.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._port = self._port or free_port()
        config = self.folder / "prometheus.yml"
        config.write_text(self._config(), "utf-8")
        command = [
            _PROGRAM,
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        log = self.folder / "prometheus.log"
        try:
            with log.open("ab") as stream:
                self.process = subprocess.Popen(
                    command,
                    stdout=stream,
                    stderr=stream,
                    start_new_session=True,  # Ctrl-C in a terminal is not meant for it
                )
        except FileNotFoundError:
            raise TerminalError(
                "The local Prometheus needs the program prometheus, which is not installed.",
                hint="apt-get install prometheus",
                subject=_PROGRAM,
            ) from None
        try:
            self._wait(log)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the server; safe to call at any time."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _config(self) -> str:
        every = f"{self._scrape_seconds}s"
        document = {
            "global": {"scrape_interval": every, "scrape_timeout": every},
            "scrape_configs": [
                {
                    "job_name": "model-servers",
                    "metrics_path": self._metrics_path,
                    "static_configs": [{"targets": list(self.targets)}],
                }
            ],
        }
        return json.dumps(document, indent=1)  # every JSON document is a YAML document

    def _wait(self, log: Path) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self.process and self.process.poll() is None:
            try:
                if httpx.get(f"{self.url}/-/ready", trust_env=False).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(_POLL_SECONDS)
        raise TransientError(
            f"The local Prometheus did not come up at {self.url}.",
            hint=f"Read {log}; a port that something else has taken is the usual reason.",
            subject=self.url,
        )
