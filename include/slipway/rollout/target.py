"""Where a rollout takes place, as the environment of its process says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.errors import TerminalError

if TYPE_CHECKING:
    from collections.abc import Mapping

MODEL_SERVER_URL = "SLIPWAY_MODEL_SERVER_URL"
MODEL_CONFIG_FILE = "SLIPWAY_MODEL_CONFIG_FILE"
MODEL_BASE_PATH = "SLIPWAY_MODEL_BASE_PATH"
PROMETHEUS_URL = "SLIPWAY_PROMETHEUS_URL"

_MEANING = {
    MODEL_SERVER_URL: "the address of the model server's REST API, such as http://127.0.0.1:8501",
    MODEL_CONFIG_FILE: "the model config file that the model server polls",
    PROMETHEUS_URL: "the address of Prometheus, such as http://127.0.0.1:9090",
}


@dataclass(frozen=True)
class Target:
    """The servers of a rollout; each is asked for only by the steps that need it.

    Args:
        environ: SLIPWAY_MODEL_SERVER_URL, SLIPWAY_MODEL_CONFIG_FILE and SLIPWAY_PROMETHEUS_URL;
            and SLIPWAY_MODEL_BASE_PATH, if the model server sees the bucket under another address
            than Slipway does, such as a folder that something keeps in step with it.
    """

    environ: Mapping[str, str]

    @classmethod
    def from_environment(cls) -> Target:
        """The target that this process was given."""
        return cls(os.environ)

    @property
    def server_url(self) -> str:
        """Base address of the model server's REST API, without a trailing slash."""
        return self._value(MODEL_SERVER_URL).rstrip("/")

    @property
    def config_file(self) -> Path:
        """The model config file that the server polls."""
        return Path(self._value(MODEL_CONFIG_FILE))

    @property
    def prometheus_url(self) -> str:
        """Base address of Prometheus."""
        return self._value(PROMETHEUS_URL).rstrip("/")

    def base_path(self, base_uri: str, model: str) -> str:
        """The base path under which the server finds a model."""
        base = self.environ.get(MODEL_BASE_PATH) or base_uri.removeprefix("file://")
        return f"{base.rstrip('/')}/{model}"

    def _value(self, name: str) -> str:
        value = self.environ.get(name, "")
        if not value:
            raise TerminalError(
                f"{name} is not set: {_MEANING[name]}",
                hint="set it in the environment, or correct the Airflow connection that fills it",
                subject=name,
            )
        return value
