"""Followers under faults: cut connections, a full disk, and what an idle poll sends."""

from __future__ import annotations

import errno
import resource
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from slipway.serving.sync.follower import Policy
from slipway.storage import open_store
from support.following import following, publish_model
from support.gateway import CutAnswer, gateway
from support.models import write_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.seaweed import S3Server


def test_on_the_wire_an_idle_poll_is_one_conditional_request(
    s3_server: S3Server, s3_uri: str, tmp_path: Path
):
    direct = open_store(s3_uri, s3_server.credentials)
    for seed in range(3):
        publish_model(direct, write_model(tmp_path / "m", seed=seed))
    with gateway(s3_server.endpoint_url) as proxy:
        credentials = s3_server.credentials.model_copy(update={"endpoint_url": proxy.url})
        with following(open_store(s3_uri, credentials), tmp_path / "served") as made:
            assert made.poll()
            proxy.seen.clear()
            for _ in range(5):
                assert made.poll()
            assert [method for method, _ in proxy.seen] == ["GET"] * 5
            assert all(path.endswith("/_slipway/ledger.json") for _, path in proxy.seen)
            publish_model(direct, write_model(tmp_path / "m", seed=9))
            assert made.poll()
            assert made.versions == {3, 4}


def test_cut_downloads_expose_nothing_and_succeed_once_the_network_does(
    s3_server: S3Server, s3_uri: str, tmp_path: Path
):
    direct = open_store(s3_uri, s3_server.credentials)
    publish_model(direct, write_model(tmp_path / "m", seed=1))
    with gateway(s3_server.endpoint_url) as proxy:
        credentials = s3_server.credentials.model_copy(update={"endpoint_url": proxy.url})
        with following(open_store(s3_uri, credentials), tmp_path / "served") as made:
            assert made.poll()
            publish_model(direct, write_model(tmp_path / "m", seed=2, data_bytes=5 << 20))
            proxy.rule = lambda _method, path: CutAnswer(100) if "/2/" in path else None
            assert not made.poll()
            assert made.versions == {1}
            assert made.metrics.value("store") == 1
            proxy.rule = lambda _method, _path: None
            deadline = time.monotonic() + 30
            while not made.poll():
                assert time.monotonic() < deadline
            assert made.versions == {1, 2}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("known_before", [True, False])
def test_on_a_full_disk_old_versions_stay_and_the_new_one_comes_when_there_is_room(
    tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch, known_before: bool
):
    store = open_store(str(tmp_path / "published"))
    publish_model(store, write_model(tmp_path / "m", seed=1))
    with following(store, small_disk / "served", Policy(interval=0.01, reserve_bytes=0)) as made:
        assert made.poll()
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(2 << 20))
        if not known_before:  # the disk fills while the download runs
            monkeypatch.setattr(made.disk, "free_bytes", lambda: 1 << 40)
        publish_model(store, write_model(tmp_path / "m", seed=2, data_bytes=3 << 20))
        assert not made.poll()
        assert made.versions == {1}
        assert made.metrics.value("disk_full") == 1
        received = made.metrics.value("downloaded_bytes_total")
        assert (received < 1 << 20) is known_before
        assert made.follower.failures[2].errno == errno.ENOSPC
        assert not list((small_disk / "served/.slipway-sync").rglob("*.partial"))
        ballast.unlink()
        deadline = time.monotonic() + 30
        while not made.poll():
            assert time.monotonic() < deadline
        assert made.versions == {1, 2}


def test_what_no_file_may_grow_to_is_not_downloaded_again_at_every_poll(tmp_path: Path):
    store = open_store(str(tmp_path / "published"))
    publish_model(store, write_model(tmp_path / "m", seed=1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with following(store, tmp_path / "served", Policy(interval=60)) as made:
        assert made.poll()
        publish_model(store, write_model(tmp_path / "m", seed=2, data_bytes=3 << 20))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, before[1]))
        try:
            assert not made.poll()
            received = made.metrics.value("downloaded_bytes_total")
            assert not made.poll()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, ignored)
        assert made.metrics.value("downloaded_bytes_total") == received
        assert made.versions == {1}
        assert made.metrics.value("disk_full") == 1
        error = made.follower.failures[2]
        assert isinstance(error, OSError)
        assert error.errno == errno.EFBIG
