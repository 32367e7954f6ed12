"""What a follower makes of a bucket."""

from __future__ import annotations

import json
import shutil
import threading
from typing import TYPE_CHECKING

import pytest

from slipway.content import tree_digest
from slipway.errors import TerminalError
from slipway.serving.channels import clear_channel, move_channel
from slipway.serving.download import download_version
from slipway.serving.layout import Layout, resolve
from slipway.serving.ledger_changes import mark, read_ledger
from slipway.serving.sync.disk import LocalVersions
from slipway.serving.sync.follower import Follower, Policy
from slipway.serving.sync.metrics import Metrics
from support.following import MODEL, following, publish_model
from support.http import answering
from support.models import write_model

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.storage import Store

LAYOUT = Layout(MODEL)
WEIGHTS = "variables/variables.data-00000-of-00001"


def publish_seed(store: Store, tmp_path: Path, seed: int) -> int:
    return publish_model(store, write_model(tmp_path / "m", seed=seed))


def point(store: Store, version: int, generation: int = 0) -> None:
    digest = resolve(store, MODEL, version).digest
    move_channel(
        store, MODEL, "stable", version=version, digest=digest, expected_generation=generation
    )


def test_a_new_version_is_in_place_after_one_poll(store: Store, tmp_path: Path):
    with following(store, tmp_path / "served") as made:
        assert not made.poll()
        assert publish_seed(store, tmp_path, 1) == 1
        assert made.poll()
        assert made.versions == {1}
        published = tmp_path / "served/1"
        (published / "slipway.json").unlink()
        assert tree_digest(published) == resolve(store, MODEL, 1).digest


def test_an_idle_poll_asks_once_however_much_there_is(store: Store, tmp_path: Path):
    for seed in range(5):
        publish_seed(store, tmp_path, seed)
    with following(store, tmp_path / "served") as made:
        assert made.poll()
        before = store.requests
        assert made.poll()
        assert store.requests - before == 1


def test_the_last_versions_and_those_of_channels_stay(store: Store, tmp_path: Path):
    for seed in (1, 2):
        publish_seed(store, tmp_path, seed)
    point(store, 1)
    with following(store, tmp_path / "served") as made:
        made.poll()
        for seed in (3, 4):
            publish_seed(store, tmp_path, seed)
            made.poll()
        assert made.versions == {1, 3, 4}
        # A moved channel is news by itself, also when it points to what is not here any more.
        point(store, 2, generation=1)
        assert made.poll()
        assert made.versions == {2, 3, 4}
        clear_channel(store, MODEL, "stable", expected_generation=2)
        assert made.poll()
        assert made.versions == {3, 4}


def test_what_the_server_uses_is_not_deleted(store: Store, tmp_path: Path):
    publish_seed(store, tmp_path, 1)
    status = {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]}
    pages = {"/v1/models/digits": (200, json.dumps(status).encode())}
    with answering(pages) as server:
        policy = Policy(
            keep=1, interval=0.01, reserve_bytes=0, status_url=f"{server.url}/v1/models/digits"
        )
        with following(store, tmp_path / "served", policy) as made:
            made.poll()
            publish_seed(store, tmp_path, 2)
            assert made.poll()
            assert made.versions == {1, 2}
            for refusals, code in enumerate((500, 404), start=1):
                pages["/v1/models/digits"] = (code, b"")
                assert not made.poll()
                assert made.metrics.value("server") == refusals
                assert made.versions == {1, 2}
            status["model_version_status"][0]["state"] = "END"
            pages["/v1/models/digits"] = (200, json.dumps(status).encode())
            before = store.requests
            assert made.poll()
            assert made.versions == {2}
            assert store.requests - before == 1


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_folder_with_versions_of_another_model_is_refused(
    store: Store, tmp_path: Path, is_damaged: bool
):
    publish_seed(store, tmp_path, 1)
    with following(store, tmp_path / "served") as made:
        made.poll()
    if is_damaged:
        (tmp_path / "served/1/saved_model.pb").write_bytes(b"rot")
    disk = LocalVersions(tmp_path / "served")
    try:
        with pytest.raises(TerminalError, match="holds versions of digits, not of letters"):
            Follower(store, "letters", disk, Policy(), Metrics(), threading.Event())
    finally:
        disk.close()
    assert (tmp_path / "served" / "1").is_dir()


@pytest.mark.parametrize("damage", ["flipped", "truncated", "longer", "missing"])
def test_a_damaged_object_is_refused_and_the_old_version_stays(
    store: Store, tmp_path: Path, damage: str
):
    publish_seed(store, tmp_path, 1)
    with following(store, tmp_path / "served") as made:
        made.poll()
        path = f"{LAYOUT.version_prefix(publish_seed(store, tmp_path, 2))}/{WEIGHTS}"
        found = store.get(path)
        assert found is not None
        data = found.data
        if damage == "missing":
            store.delete(path)
        else:
            wrong = {
                "flipped": bytes([data[0] ^ 1]) + data[1:],
                "truncated": data[:-1],
                "longer": data + b"x",
            }
            store.put(path, wrong[damage])
        assert not made.poll()
        assert made.versions == {1}
        kind = "store" if damage == "missing" else "corrupt"
        assert made.metrics.value(kind) == 1
        assert WEIGHTS in str(made.follower.failures[2])
        store.put(path, data)
        publish_seed(store, tmp_path, 3)
        assert made.poll()
        assert made.versions == {2, 3}


def test_a_manifest_of_a_newer_schema_is_refused_by_name_and_others_go_on(
    store: Store, tmp_path: Path
):
    publish_seed(store, tmp_path, 1)
    publish_seed(store, tmp_path, 2)
    found = store.get(LAYOUT.manifest(2))
    assert found is not None
    store.put(
        LAYOUT.manifest(2), json.dumps({**json.loads(found.data), "schema_version": 2}).encode()
    )
    with following(store, tmp_path / "served") as made:
        assert not made.poll()
        assert made.versions == {1}
        assert made.metrics.value("newer_schema") == 1
        assert "2/slipway.json has schema 2" in str(made.follower.failures[2])
        before = store.requests
        assert not made.poll()
        assert store.requests - before == 1


def test_a_removed_version_goes_once_another_is_there(store: Store, tmp_path: Path):
    publish_seed(store, tmp_path, 1)
    publish_seed(store, tmp_path, 2)
    with following(store, tmp_path / "served") as made:
        made.poll()
        mark(store, MODEL, 2, "removed")
        store.discard(LAYOUT.version_prefix(2), commit="slipway.json")
        assert made.poll()
        assert made.versions == {1}


def test_a_version_that_is_still_being_published_does_not_exist(store: Store, tmp_path: Path):
    publish_seed(store, tmp_path, 1)
    found = store.get(LAYOUT.manifest(1))
    assert found is not None
    publish_seed(store, tmp_path, 2)
    store.delete(LAYOUT.manifest(2))
    with following(store, tmp_path / "served") as made:
        assert made.poll()
        assert made.versions == {1}
        assert read_ledger(store, MODEL).versions[2].state == "published"


def test_a_restart_downloads_nothing_that_is_verified(store: Store, tmp_path: Path):
    publish_seed(store, tmp_path, 1)
    with following(store, tmp_path / "served") as made:
        made.poll()
    with following(store, tmp_path / "served") as made:
        assert made.poll()
        assert made.metrics.value("downloaded_bytes_total") == 0


def test_a_restart_resumes_between_files(store: Store, tmp_path: Path):
    publish_seed(store, tmp_path, 1)
    manifest = resolve(store, MODEL, 1)
    disk = LocalVersions(tmp_path / "served")
    staging = disk.staging(manifest)
    disk.close()
    # As a killed process leaves it: some files proven, one half written, one harmed since.
    download_version(store, manifest, staging)
    (staging / WEIGHTS).rename(staging / f"{WEIGHTS}.partial")
    (staging / "fingerprint.pb").write_bytes(b"x" * 60)
    sizes = {entry.path: entry.size for entry in manifest.files}
    with following(store, tmp_path / "served") as made:
        assert made.poll()
        received = made.metrics.value("downloaded_bytes_total")
        assert received == sizes[WEIGHTS] + sizes["fingerprint.pb"]
    (tmp_path / "served/1/slipway.json").unlink()
    assert tree_digest(tmp_path / "served/1") == manifest.digest


def test_a_copy_that_was_damaged_is_replaced_at_the_start(store: Store, tmp_path: Path):
    publish_seed(store, tmp_path, 1)
    with following(store, tmp_path / "served") as made:
        made.poll()
    (tmp_path / "served/1/saved_model.pb").write_bytes(b"rot")
    with following(store, tmp_path / "served") as made:
        assert made.versions == set()
        assert made.poll()
        assert (tmp_path / "served/1/saved_model.pb").stat().st_size == 3_000


def test_a_version_that_someone_deleted_comes_again(store: Store, tmp_path: Path):
    for seed in (1, 2):
        publish_seed(store, tmp_path, seed)
    with following(store, tmp_path / "served") as made:
        assert made.poll()
        shutil.rmtree(tmp_path / "served/2")
        assert made.poll()
        assert made.versions == {1, 2}
        digest = resolve(store, MODEL, 2).digest
        (tmp_path / "served/2/slipway.json").unlink()
        assert tree_digest(tmp_path / "served/2") == digest


def test_a_folder_that_someone_deleted_is_made_again(store: Store, tmp_path: Path):
    publish_seed(store, tmp_path, 1)
    with following(store, tmp_path / "served") as made:
        assert made.poll()
        shutil.rmtree(tmp_path / "served")
        assert made.poll()
        assert made.versions == {1}
        with pytest.raises(TerminalError, match="Another process"):
            LocalVersions(tmp_path / "served")


def test_a_folder_that_cannot_be_made_again_costs_polls_and_not_the_follower(
    store: Store, tmp_path: Path
):
    publish_seed(store, tmp_path, 1)
    with following(store, tmp_path / "served") as made:
        assert made.poll()
        shutil.rmtree(tmp_path / "served")
        (tmp_path / "served").write_text("in its place")
        for _ in range(2):
            assert not made.poll()
            assert "Cannot write to" in str(made.follower.failures[0])
        (tmp_path / "served").unlink()
        assert made.poll()
        assert made.versions == {1}


def test_a_folder_that_goes_before_anything_is_published_is_made_again(
    store: Store, tmp_path: Path
):
    with following(store, tmp_path / "served") as made:
        assert not made.poll()
        shutil.rmtree(tmp_path / "served")
        assert not made.poll()
        assert (tmp_path / "served").is_dir()


def test_a_folder_of_someone_else_is_not_touched(store: Store, tmp_path: Path):
    publish_seed(store, tmp_path, 1)
    foreign = tmp_path / "served/1"
    foreign.mkdir(parents=True)
    (foreign / "saved_model.pb").write_bytes(b"theirs")
    with following(store, tmp_path / "served") as made:
        assert not made.poll()
        assert made.metrics.value("foreign") == 1
    assert (foreign / "saved_model.pb").read_bytes() == b"theirs"


@pytest.mark.parametrize("manifest", [b"{", b'{"schema_version": 99}'])
def test_a_folder_whose_manifest_cannot_be_read_is_not_touched(
    store: Store, tmp_path: Path, manifest: bytes
):
    publish_seed(store, tmp_path, 1)
    foreign = tmp_path / "served/1"
    foreign.mkdir(parents=True)
    (foreign / "slipway.json").write_bytes(manifest)
    (foreign / "notes.txt").write_text("mine")
    with following(store, tmp_path / "served") as made:
        assert not made.poll()
    assert (foreign / "notes.txt").read_text() == "mine"


def test_a_link_in_a_versions_place_is_not_touched(store: Store, tmp_path: Path):
    publish_seed(store, tmp_path, 1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "served").mkdir()
    (tmp_path / "served/1").symlink_to(elsewhere)
    with following(store, tmp_path / "served") as made:
        assert not made.poll()
    assert (tmp_path / "served/1").is_symlink()


def test_two_followers_of_one_folder_are_refused(tmp_path: Path):
    disk = LocalVersions(tmp_path)
    with pytest.raises(TerminalError, match="Another process"):
        LocalVersions(tmp_path)
    disk.close()
    LocalVersions(tmp_path).close()


def test_one_version_alone_is_had_whatever_the_channels_say(store: Store, tmp_path: Path):
    for seed in (1, 2, 3):
        publish_seed(store, tmp_path, seed)
    point(store, 3)
    with following(store, tmp_path / "served", Policy(reserve_bytes=0, only=2)) as made:
        assert made.poll()
        assert made.versions == {2}


def test_one_version_alone_deletes_none_of_those_that_are_there(store: Store, tmp_path: Path):
    for seed in (1, 2, 3):
        publish_seed(store, tmp_path, seed)
    for only in (1, 3):
        policy = Policy(keep=1, reserve_bytes=0, only=only)
        with following(store, tmp_path / "served", policy) as made:
            assert made.poll()
    assert made.versions == {1, 3}


def test_one_version_that_there_is_not_is_said_so_until_there_is(store: Store, tmp_path: Path):
    publish_seed(store, tmp_path, 1)
    policy = Policy(interval=0.01, reserve_bytes=0, only=2)
    with following(store, tmp_path / "served", policy) as made:
        assert not made.poll()
        assert "no version 2" in str(made.follower.failures[2])
        assert made.metrics.value("manifest") == 1
        publish_seed(store, tmp_path, 2)
        assert made.poll()
        assert made.versions == {2}


def test_a_file_may_be_named_as_half_of_another(store: Store, tmp_path: Path):
    model = write_model(tmp_path / "m", seed=1)
    (model / "fingerprint.pb.partial").write_bytes(b"longer than that file " * 20)
    publish_model(store, model)
    with following(store, tmp_path / "served") as made:
        assert made.poll()
    (tmp_path / "served/1/slipway.json").unlink()
    assert tree_digest(tmp_path / "served/1") == tree_digest(model)


def test_a_manifest_with_other_files_than_its_digest_says_is_refused(store: Store, tmp_path: Path):
    publish_seed(store, tmp_path, 1)
    forged = json.loads(resolve(store, MODEL, 1).to_bytes())
    forged["files"] = [entry for entry in forged["files"] if entry["path"] != "fingerprint.pb"]
    store.put(LAYOUT.manifest(1), json.dumps(forged).encode())
    with following(store, tmp_path / "served") as made:
        assert not made.poll()
        assert isinstance(made.follower.failures[1], TerminalError)
        assert "is not what its manifest says" in str(made.follower.failures[1])
    assert not (tmp_path / "served/1").exists()


def test_a_copy_under_another_number_is_left_alone(store: Store, tmp_path: Path):
    publish_seed(store, tmp_path, 1)
    with following(store, tmp_path / "served") as made:
        assert made.poll()
    copied = tmp_path / "served/77"
    shutil.copytree(tmp_path / "served/1", copied)
    with following(store, tmp_path / "served") as made:
        assert made.poll()
    assert (copied / "saved_model.pb").is_file()
