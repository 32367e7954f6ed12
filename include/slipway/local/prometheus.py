"""A real Prometheus on loopback: for one machine and for tests."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from slipway.errors import TerminalError
from slipway.local.processes import free_port
from slipway.local.server import HOST, LocalServer

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from pathlib import Path

MODEL_SERVER_METRICS_PATH = "/monitoring/prometheus/metrics"

_PROGRAM = "prometheus"


class Prometheus(LocalServer):
    """A Prometheus that scrapes model servers.

    Args:
        folder: Where configuration, log and data go; the same folder later has the same samples.
        targets: Addresses to scrape, as host:port.
        port: Of its own HTTP server; 0 takes a free one.
        scrape_seconds: Seconds between two scrapes of a target.
        metrics_path: Where the targets show their metrics.
    """

    name = "Prometheus"

    def __init__(
        self,
        folder: Path,
        *,
        targets: Sequence[str],
        port: int = 0,
        scrape_seconds: int = 1,
        metrics_path: str = MODEL_SERVER_METRICS_PATH,
    ) -> None:
        super().__init__(folder)
        self.targets = tuple(targets)
        self._port = port
        self._scrape_seconds = scrape_seconds
        self._metrics_path = metrics_path

    @property
    def url(self) -> str:
        """Where it answers, once it was started."""
        return f"http://{HOST}:{self._port}"

    def prepare(self) -> list[str]:
        """Chooses its port and writes its configuration; see `LocalServer.prepare`."""
        if shutil.which(_PROGRAM) is None:
            raise TerminalError(
                "The local Prometheus needs the program prometheus, which is not installed.",
                hint="apt-get install prometheus",
                subject=_PROGRAM,
            )
        self._port = self._port or free_port()
        config = self.folder / "prometheus.yml"
        config.write_text(self._config(), "utf-8")
        return [
            _PROGRAM,
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address={HOST}:{self._port}",
        ]

    def wait(self) -> None:
        """Waits until it answers queries."""
        self.answers(f"{self.url}/-/ready")

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Asks it to end: killed, it would read its log of writes anew at the next start."""
        process.terminate()

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
