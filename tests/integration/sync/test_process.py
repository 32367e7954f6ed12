"""The follower as a process: its pages, its signals, its exit status."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from slipway.content import tree_digest
from slipway.local.processes import free_port
from slipway.storage import open_store
from support.following import MODEL, publish_model
from support.models import write_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.seaweed import S3Server


def sync(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "slipway.cli", "sync", *arguments]


@contextmanager
def follower(address: str, folder: Path, environment: dict[str, str]) -> Iterator[tuple[str, int]]:
    """A running follower: the address of its pages, and its process id."""
    port = free_port()
    command = sync(address, str(folder), "--interval", "0.2", "--port", str(port))
    process = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        yield f"http://127.0.0.1:{port}", process.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait()


def until(url: str, status: int) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            answer = httpx.get(url, trust_env=False)
            if answer.status_code == status:
                return answer.text
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{url} never answered {status}")


def test_it_serves_its_pages_and_stops_with_0(s3_server: S3Server, s3_uri: str, tmp_path: Path):
    environment = s3_server.credentials.to_environment()
    store = open_store(s3_uri, s3_server.credentials)
    folder = tmp_path / "served"
    with follower(f"{s3_uri}/{MODEL}", folder, environment) as (pages, _):
        until(f"{pages}/healthz", 200)
        until(f"{pages}/readyz", 503)
        publish_model(store, write_model(tmp_path / "m", seed=1))
        until(f"{pages}/readyz", 200)
        assert (folder / "1/saved_model.pb").is_file()
        text = httpx.get(f"{pages}/metrics", trust_env=False).text
        assert "slipway_sync_versions 1\n" in text
        assert "slipway_sync_newest_version 1\n" in text
        assert 'slipway_sync_failures_total{kind="disk_full"} 0\n' in text
        assert "slipway_sync_last_success_timestamp_seconds" in text


def test_sigterm_during_a_download_stops_with_0_and_the_next_resumes(
    s3_server: S3Server, s3_uri: str, tmp_path: Path
):
    environment = s3_server.credentials.to_environment()
    store = open_store(s3_uri, s3_server.credentials)
    publish_model(store, write_model(tmp_path / "m", seed=1, data_bytes=150 << 20))
    folder = tmp_path / "served"
    with follower(f"{s3_uri}/{MODEL}", folder, environment):
        deadline = time.monotonic() + 30
        while not list(folder.glob(".slipway-sync/v1-*/**/*.partial")):
            assert time.monotonic() < deadline
            time.sleep(0.002)
    assert not (folder / "1").exists() or (folder / "1/slipway.json").exists()
    assert not list(folder.rglob("*.partial"))
    command = sync(f"{s3_uri}/{MODEL}", str(folder), "--once")
    assert subprocess.run(command, env={**os.environ, **environment}, check=False).returncode == 0
    assert (folder / "1/slipway.json").exists()


def test_once_tells_by_its_status_what_stands_in_the_way(tmp_path: Path):
    address = str(tmp_path / "published" / MODEL)
    command = sync(address, str(tmp_path / "served"), "--once")
    nothing = subprocess.run(command, check=False, capture_output=True, text=True)
    assert nothing.returncode == 75
    assert "Nothing is published" in nothing.stderr
    publish_model(open_store(str(tmp_path / "published")), write_model(tmp_path / "m", seed=1))
    assert subprocess.run(command, check=False).returncode == 0
    (tmp_path / "published" / MODEL / "_slipway/ledger.json").write_bytes(b"{")
    damaged = subprocess.run(command, check=False, capture_output=True, text=True)
    assert damaged.returncode == 1
    assert "ledger" in damaged.stderr


def test_once_with_a_version_brings_just_that_one_from_s3(
    s3_server: S3Server, s3_uri: str, tmp_path: Path
):
    environment = {**os.environ, **s3_server.credentials.to_environment()}
    store = open_store(s3_uri, s3_server.credentials)
    for seed in (1, 2, 3):
        publish_model(store, write_model(tmp_path / "m", seed=seed))
    folder = tmp_path / "served"
    command = sync(f"{s3_uri}/{MODEL}", str(folder), "--once", "--version")
    done = subprocess.run([*command, "2"], env=environment, check=False)
    assert done.returncode == 0
    assert [child.name for child in folder.iterdir() if child.name.isdigit()] == ["2"]
    missing = subprocess.run(
        [*command, "7"], env=environment, check=False, capture_output=True, text=True
    )
    assert missing.returncode == 1
    assert "There is no version 7" in missing.stderr


@pytest.mark.parametrize("place", [MODEL, f"{MODEL}/served", "", "copy"])
def test_no_follower_fills_the_place_where_models_are_published(tmp_path: Path, place: str):
    """It would delete what it need not keep."""
    published = tmp_path / "published"
    store = open_store(str(published))
    for seed in (1, 2, 3, 4):
        publish_model(store, write_model(tmp_path / "m", seed=seed))
    shutil.copytree(published / MODEL, published / "copy")
    before = tree_digest(published)
    for more in ("--once", "--keep=1"):
        command = sync(str(published / MODEL), str(published / place), more)
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert "Models are published in" in done.stderr
    assert tree_digest(published) == before
