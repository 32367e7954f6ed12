"""The server as a process: signals, startup errors, and what a real Prometheus sees of it."""

from __future__ import annotations

import http.client
import math
import shutil
import signal
import subprocess
import sys
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from slipway.local.processes import free_port
from slipway.local.prometheus import Prometheus
from support.served import FAST, Client, place, serving, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def started(log: Path, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as stream:
        command = [sys.executable, "-m", "slipway.serving.server", *flags]
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _answers(client: Client) -> bool:
    try:
        return client.http.get("/v1/models/m").status_code in {200, 404}
    except httpx.TransportError:
        return False


@pytest.fixture
def monitoring(tmp_path: Path) -> str:
    file = tmp_path / "monitoring.config"
    file.write_text("prometheus_config { enable: true }")
    return str(file)


def test_a_real_prometheus_scrapes_it(
    models: Path, base: Path, tmp_path: Path, monitoring: str
) -> None:
    place(models / "slow", base / "1")
    flags = replace(
        FAST, model_name="m", model_base_path=str(base), monitoring_config_file=monitoring
    )
    with serving(flags) as client:
        target = f"{client.http.base_url.host}:{client.http.base_url.port}"
        with Prometheus(tmp_path / "prometheus", targets=[target]) as prometheus:
            client.wait(1)
            for _ in range(20):
                assert client.predict("m", {"inputs": 10}).status_code == 200
            for _ in range(3):
                assert client.predict("m", {"inputs": "ten"}).status_code == 400
            _check_scraped(prometheus, str(base / "1"))


def test_sigterm_lets_requests_finish(
    models: Path, base: Path, tmp_path: Path, monitoring: str
) -> None:
    (base / "1").mkdir()
    shutil.copy(models / "times2.tflite", base / "1" / "model.tflite")
    port = free_port()
    flags = (
        f"--rest_api_port={port}",
        "--model_name=m",
        f"--model_base_path={base}",
        f"--monitoring_config_file={monitoring}",
        "--prefer_tflite_model",
    )
    with started(tmp_path / "log", *flags) as process:
        client = Client(f"http://127.0.0.1:{port}")
        until(lambda: _answers(client))
        client.wait(1)
        with closing(_half_sent(port, b'{"instances": [[1, 1]]}')) as request:
            process.send_signal(signal.SIGTERM)
            until(lambda: not _answers(client))
            assert process.poll() is None
            assert request.sock is not None
            request.sock.sendall(b"}")
            response = request.getresponse()
            assert response.status == 200
            assert response.read() == b'{\n    "predictions": [[2.0, 2.0]]\n}'
        assert process.wait(30) == 0
        client.http.close()
    log = (tmp_path / "log").read_text()
    assert "gRPC is not offered" in log
    assert "Traceback" not in log


def _half_sent(port: int, body: bytes) -> http.client.HTTPConnection:
    """A predict request that the server has begun to read and whose last byte is missing."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest("POST", "/v1/models/m:predict")
    connection.putheader("Content-Length", str(len(body)))
    connection.putheader("Expect", "100-continue")
    connection.endheaders()
    assert connection.sock is not None
    # The server says so when it asks for the body: from here on the request is under way.
    assert connection.sock.recv(1024).startswith(b"HTTP/1.1 100")
    connection.sock.sendall(body[:-1])
    return connection


def _check_scraped(prometheus: Prometheus, path: str) -> None:
    def value(query: str) -> float | None:
        response = httpx.get(
            f"{prometheus.url}/api/v1/query", params={"query": query}, trust_env=False
        )
        result: list[Any] = response.json()["data"]["result"]
        return float(result[0]["value"][1]) if result else None

    until(lambda: value(':tensorflow:serving:request_count{model_name="m",status="OK"}') == 20)
    count = ":tensorflow:serving:request_count"
    assert value(f'{count}{{model_name="m",status="INVALID_ARGUMENT"}}') == 3
    latency = ":tensorflow:serving:request_latency"
    # Successes only, and the API in lower case, as the REST side of the real server counts.
    assert value(f'{latency}_count{{model_name="m",API="predict",entrypoint="REST"}}') == 20
    p99 = value(f"histogram_quantile(0.99, {latency}_bucket)")
    assert p99 is not None
    assert 10 < p99 < 30e6
    assert math.isfinite(p99)
    assert value(":tensorflow:core:graph_runs") == 20
    loads = ":tensorflow:cc:saved_model:load_attempt_count"
    assert value(f'{loads}{{model_path="{path}",status="success"}}') == 1
    assert value("up") == 1


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--rest_api_prot=1"], "The nearest flag is --rest_api_port."),
        (["--model_base_path=/m"], "Give --rest_api_port=8501."),
        (["--rest_api_port=1", "--model_config_file=/absent"], "/absent"),
    ],
)
def test_what_keeps_it_from_starting_is_one_line(
    flags: list[str], problem: str, tmp_path: Path
) -> None:
    with started(tmp_path / "log", *flags) as process:
        assert process.wait(30) == 1
    log = (tmp_path / "log").read_text()
    assert log.startswith("Failed to start server. Error:")
    assert problem in log
    assert len(log.splitlines()) == 1
