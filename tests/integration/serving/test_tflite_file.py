"""Whether a server runs the TFLite file of a version is told by what it counts."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from slipway.errors import TerminalError
from slipway.rollout.endpoint import Endpoint
from slipway.rollout.tflite_file import runs_tflite
from slipway.serving.server.config import DEFAULT_METRICS_PATH
from support.http import answering
from support.served import FAST, place, serving

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.serving.server import ServerFlags


@pytest.fixture
def flags(models: Path, base: Path) -> ServerFlags:
    """Of a server that shows metrics, over a version with both forms of the model."""
    place(models / "times2", base / "12")
    shutil.copy(models / "times2.tflite", base / "12" / "model.tflite")
    monitoring = base.parent / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    return replace(
        FAST, model_name="m", model_base_path=str(base), monitoring_config_file=str(monitoring)
    )


def test_a_server_that_was_asked_for_tflite_runs_it(flags: ServerFlags) -> None:
    with serving(replace(flags, prefer_tflite_model=True)) as client:
        client.wait(12)
        assert runs_tflite(Endpoint(str(client.http.base_url).rstrip("/")), "m", 12) is True


def test_the_silent_fallback_to_the_savedmodel_is_found(
    models: Path, base: Path, flags: ServerFlags
) -> None:
    with serving(flags) as client:
        client.wait(12)
        endpoint = Endpoint(str(client.http.base_url).rstrip("/"))
        with pytest.raises(TerminalError, match="runs the SavedModel of m version 12") as caught:
            runs_tflite(endpoint, "m", 12)
        assert "--prefer_tflite_model" in caught.value.hint
        # What was loaded of another version or model says nothing of this one.
        place(models / "times1", base / "112")
        client.wait(112)
        assert runs_tflite(endpoint, "m", 2) is True
        assert runs_tflite(endpoint, "other", 12) is True


@pytest.mark.parametrize("status", [401, 403])
def test_metrics_that_may_not_be_read_are_no_proof(status: int) -> None:
    with (
        answering({DEFAULT_METRICS_PATH: (status, b"")}) as server,
        pytest.raises(TerminalError, match=f"may not read the metrics.*HTTP {status}"),
    ):
        runs_tflite(Endpoint(server.url), "m", 12)


def test_without_metrics_it_is_not_known(flags: ServerFlags) -> None:
    with serving(replace(flags, monitoring_config_file="")) as client:
        client.wait(12)
        assert runs_tflite(Endpoint(str(client.http.base_url).rstrip("/")), "m", 12) is None
