"""A server that is started once follows a bucket, by `slipway sync` and directly, under load."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from slipway.local.processes import free_port
from slipway.serving.publish import publish
from slipway.storage import open_store
from support.served import Client, Traffic, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from slipway.storage import Store

MODELS = ("followed", "direct")
ENOUGH = 50  # answers before and after each change
_CONFIG = """model_config_list {{
  config {{ name: "followed" base_path: "{folder}" model_platform: "tensorflow" }}
  config {{ name: "direct" base_path: "{uri}" model_platform: "tensorflow" }}
}}
"""


@contextmanager
def command(environment: Mapping[str, str], *arguments: str) -> Iterator[None]:
    """A command of Slipway's that runs meanwhile, and ends well when it is asked to."""
    line = [sys.executable, "-m", "slipway.cli", *arguments]
    process = subprocess.Popen(line, env={**os.environ, **environment})
    try:
        yield
        assert process.poll() is None, f"{arguments[0]} ended by itself"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


@contextmanager
def house(store: Store, environment: Mapping[str, str], folder: Path) -> Iterator[Client]:
    """A server of model m by two names: from a folder kept in step, and from the bucket."""
    served, config, port = folder / "served", folder / "models.config", free_port()
    served.mkdir()
    config.write_text(_CONFIG.format(folder=served, uri=f"{store.uri}/m"))
    server = (
        "serve",
        f"--rest_api_port={port}",
        f"--model_config_file={config}",
        f"--model_cache_dir={folder / 'cache'}",
    )
    sync = ("sync", f"{store.uri}/m", str(served), "--interval", "0.5", "--port", "0")
    client = Client(f"http://127.0.0.1:{port}")
    with command(environment, *server), command(environment, *sync), client.http:
        until(lambda: _listens(client))
        yield client


def _listens(client: Client) -> bool:
    try:
        return client.http.get("/v1/models/direct").status_code == 404
    except httpx.TransportError:
        return False


def publish_times(store: Store, models: Path, factor: int) -> None:
    folder = models / f"times{factor}"
    assert publish(store, "m", folder, variant="original", metrics={}).version == factor


def see_version(client: Client, loads: list[Traffic], factor: int) -> None:
    """Waits until both serve it alone, and have for a while."""
    until(lambda: all(client.state(factor - 1, name) == "END" for name in MODELS))
    wanted = [len(load.answers) + ENOUGH for load in loads]
    until(lambda: all(len(load.answers) > n for load, n in zip(loads, wanted, strict=True)))


@pytest.mark.parametrize("cloud", ["s3", "gcs"])
def test_what_is_published_is_served_with_no_restart_and_no_failed_request(
    cloud: str, models: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    credentials = request.getfixturevalue(f"{cloud}_server").credentials
    store = open_store(request.getfixturevalue(f"{cloud}_uri"), credentials)
    with house(store, credentials.to_environment(), tmp_path) as client:
        publish_times(store, models, 1)
        until(lambda: all(client.factor(name) == 1.0 for name in MODELS))
        loads = [Traffic(str(client.http.base_url), name, threads=1) for name in MODELS]
        with loads[0], loads[1]:
            for factor in (2, 3):
                publish_times(store, models, factor)
                see_version(client, loads, factor)
    for load in loads:
        assert load.failures == []
        factors = load.factors()
        assert set(factors) == {1.0, 2.0, 3.0}
        assert factors == sorted(factors)
