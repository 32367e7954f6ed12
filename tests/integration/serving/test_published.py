"""Serving straight from a bucket: only what was published whole, and only if it is unharmed."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from slipway.serving.layout import Layout
from slipway.serving.publish import publish
from slipway.serving.server.sources import PublishedVersions
from slipway.serving.server.status import StatusError
from slipway.storage import open_store
from support.served import FAST, serving, until

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.local.s3_server import S3Server
    from slipway.storage import Store


@pytest.fixture
def store(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty base URI; the server under test opens it by the environment, as a user's would."""
    for name, value in s3_server.credentials.to_environment().items():
        monkeypatch.setenv(name, value)
    return open_store(f"s3://tests/{uuid.uuid4().hex}")


def _publish(store: Store, folder: Path) -> int:
    return publish(store, "m", folder, variant="original", metrics={}).version


def test_published_versions_are_served_and_withdrawn_ones_are_not(
    models: Path, store: Store, tmp_path: Path
) -> None:
    assert _publish(store, models / "times1") == 1
    flags = replace(
        FAST,
        model_name="m",
        model_base_path=f"{store.uri}/m",
        model_cache_dir=str(tmp_path / "cache"),
    )
    with serving(flags) as client:
        client.wait(1)
        assert client.factor() == 1.0
        assert _publish(store, models / "times2") == 2
        client.wait(2)
        assert client.factor() == 2.0
        client.wait(1, "END")
        # The manifest goes first: from then on the version does not exist.
        store.delete(Layout("m").manifest(2))
        until(lambda: client.factor() == 1.0)
        client.wait(2, "END")
        ready = [folder.name for folder in (tmp_path / "cache").glob("*/*")]
        assert [name.partition("-")[0] for name in ready] == ["v1"]


def test_a_version_without_a_manifest_does_not_exist(
    models: Path, store: Store, tmp_path: Path
) -> None:
    _publish(store, models / "times1")
    for file in (models / "times2").rglob("*"):
        if file.is_file():
            store.upload(file, f"m/7/{file.relative_to(models / 'times2').as_posix()}")
    source = PublishedVersions(f"{store.uri}/m", tmp_path)
    assert source.versions() == {1}


def test_a_corrupt_file_is_refused_and_leaves_nothing(
    models: Path, store: Store, tmp_path: Path
) -> None:
    version = _publish(store, models / "times1")
    weights = "variables/variables.data-00000-of-00001"
    path = f"{Layout('m').version_prefix(version)}/{weights}"
    found = store.get(path)
    assert found is not None
    store.put(path, bytes([found.data[0] ^ 1]) + found.data[1:])
    source = PublishedVersions(f"{store.uri}/m", tmp_path)
    with pytest.raises(StatusError, match=weights) as raised:
        source.fetch(version)
    assert raised.value.code == "DATA_LOSS"
    assert list(tmp_path.iterdir()) == []
    store.put(path, found.data)
    assert (source.fetch(version) / weights).read_bytes() == found.data


def test_a_corrupt_version_never_replaces_the_old_one(
    models: Path, store: Store, tmp_path: Path
) -> None:
    _publish(store, models / "times1")
    manifest = Layout("m").manifest(_publish(store, models / "times2"))
    committed = store.get(manifest)
    assert committed is not None
    store.delete(manifest)
    store.put("m/2/saved_model.pb", b"torn")
    flags = replace(
        FAST,
        model_name="m",
        model_base_path=f"{store.uri}/m",
        model_cache_dir=str(tmp_path),
        max_num_load_retries=0,
    )
    with serving(flags) as client:
        client.wait(1)
        store.put(manifest, committed.data)
        client.wait(2, "END")
        status = client.versions()[2]["status"]
        assert status["error_code"] == "DATA_LOSS"
        assert "m/2/saved_model.pb" in status["error_message"]
        assert client.factor() == 1.0


def test_a_damaged_local_copy_is_fetched_again(models: Path, store: Store, tmp_path: Path) -> None:
    version = _publish(store, models / "times1")
    source = PublishedVersions(f"{store.uri}/m", tmp_path)
    model = source.fetch(version) / "saved_model.pb"
    good = model.read_bytes()
    model.write_bytes(good[:-1])
    assert (source.fetch(version) / "saved_model.pb").read_bytes() == good


def test_a_local_copy_stays_until_its_last_user_is_done(
    models: Path, store: Store, tmp_path: Path
) -> None:
    version = _publish(store, models / "times1")
    source = PublishedVersions(f"{store.uri}/m", tmp_path)
    assert source.fetch(version) == source.fetch(version)
    source.release(version)
    assert [folder.name.partition("-")[0] for folder in tmp_path.iterdir()] == ["v1"]
    source.release(version)
    assert list(tmp_path.iterdir()) == []
