"""A real Prometheus that scrapes the pods of every model.

Debian builds Prometheus without its Kubernetes service discovery. What that does is done here: the
API server is asked for the pods, which become targets with their `slipway.dev` labels.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, Self

from slipway.errors import SlipwayError
from slipway.local.prometheus import MODEL_SERVER_METRICS_PATH, Prometheus

if TYPE_CHECKING:
    from pathlib import Path

    from support.kubernetes.cluster import Cluster

REST_PORT = 8501
_PREFIX = "slipway.dev/"
_EVERY_SECONDS = 0.5


class PodPrometheus(Prometheus):
    """Scrapes every pod with the label slipway.dev/model, each second.

    Args:
        folder: As Prometheus'.
        cluster: Where the pods are.
    """

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        super().__init__(folder, targets=())
        self._cluster = cluster
        self._over = threading.Event()
        self._finder = threading.Thread(target=self._find, daemon=True)

    def start(self) -> Self:
        """Also begins to look for pods."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._targets.write_text("[]")
        super().start()
        self._finder.start()
        return self

    def stop(self) -> None:
        """Ends both."""
        self._over.set()
        if self._finder.is_alive():
            self._finder.join()
        super().stop()

    @property
    def _targets(self) -> Path:
        return self.folder / "targets.json"

    def _find(self) -> None:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        last = ""
        while not self._over.wait(_EVERY_SECONDS):
            try:
                found = json.dumps(self._groups(), sort_keys=True)
            except (ApiException, HTTPError, SlipwayError):
                continue
            if found != last:
                partial = self._targets.with_suffix(".partial")
                partial.write_text(found)
                partial.replace(self._targets)
                last = found

    def _groups(self) -> list[dict[str, Any]]:
        from kubernetes import client

        pods = client.CoreV1Api(self._cluster.api).list_pod_for_all_namespaces(
            label_selector=f"{_PREFIX}model"
        )
        return [
            {
                "targets": [f"{pod.status.pod_ip}:{REST_PORT}"],
                "labels": {
                    "namespace": pod.metadata.namespace,
                    "pod": pod.metadata.name,
                    **{
                        name.replace(".", "_").replace("/", "_"): value
                        for name, value in pod.metadata.labels.items()
                        if name.startswith(_PREFIX)
                    },
                },
            }
            for pod in pods.items
            if pod.status.pod_ip and pod.status.phase == "Running"
        ]

    def _config(self) -> str:
        job = {
            "job_name": "model-servers",
            "metrics_path": MODEL_SERVER_METRICS_PATH,
            "file_sd_configs": [{"files": [str(self._targets)], "refresh_interval": "5s"}],
        }
        every = {"scrape_interval": "1s", "scrape_timeout": "1s"}
        return json.dumps({"global": every, "scrape_configs": [job]})
