"""Artifacts and results by a bucket: brought once, proven, and never half."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING

import pytest

from slipway.content import tree_digest
from slipway.contracts import ArtifactRef, StepOutcome, StepRequest, StepResult
from slipway.errors import TerminalError
from slipway.storage import Store, open_store
from slipway.workspace_bucket import (
    MARKER,
    SharedWorkspace,
    WorkspaceBucket,
    artifacts_in,
    relocated,
)

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.local.s3_server import S3Server


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return open_store(str(tmp_path / "bucket"))
    server: S3Server = request.getfixturevalue("s3_server")
    return open_store(request.getfixturevalue("s3_uri"), server.credentials)


@pytest.fixture
def bucket(store: Store) -> WorkspaceBucket:
    return WorkspaceBucket(store)


def write_artifact(folder: Path, text: str = "weights") -> Path:
    (folder / "saved_model" / "variables").mkdir(parents=True)
    (folder / "saved_model" / "saved_model.pb").write_text("graph")
    (folder / "saved_model" / "variables" / "data").write_text(text * 1000)
    return folder


def made(workspace: SharedWorkspace, text: str = "weights") -> ArtifactRef:
    with workspace.staging() as folder:
        return workspace.keep(write_artifact(folder, text), "saved_model")


def result(artifact: ArtifactRef | None, key: str = "sha256:" + "a" * 64) -> StepResult:
    return StepResult(step="train", model="tiny", key=key, artifact=artifact)


def test_an_artifact_comes_back_as_it_went(bucket: WorkspaceBucket, tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "made")
    digest = bucket.push(folder)
    assert digest == tree_digest(folder)
    (tmp_path / "back").mkdir()
    bucket.pull(digest, tmp_path / "back")
    assert tree_digest(tmp_path / "back") == digest


def test_what_is_in_the_bucket_is_not_sent_again(
    bucket: WorkspaceBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_artifact(tmp_path / "made")
    bucket.push(folder)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(bucket.store, "place", refuse)
    bucket.push(folder)


def test_what_is_on_the_machine_is_not_fetched_again(
    bucket: WorkspaceBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = SharedWorkspace(tmp_path / "there", bucket)
    outcome = StepOutcome(result=result(made(there)))
    there.share(outcome)
    here = SharedWorkspace(tmp_path / "here", bucket)
    first = here.bring(outcome)
    monkeypatch.setattr(bucket, "pull", None)
    assert here.bring(outcome) == first


def test_two_who_bring_the_same_at_once_both_succeed(
    bucket: WorkspaceBucket, tmp_path: Path
) -> None:
    folders = [write_artifact(tmp_path / f"made{number}") for number in range(4)]
    digests: list[str] = []
    threads = [
        threading.Thread(target=lambda folder=folder: digests.append(bucket.push(folder)))
        for folder in folders
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert digests == [tree_digest(folders[0])] * 4
    assert bucket.has(digests[0])


def test_an_upload_that_was_killed_half_way_is_no_artifact_and_is_finished_by_the_next(
    bucket: WorkspaceBucket, tmp_path: Path
) -> None:
    folder = write_artifact(tmp_path / "made")
    digest = tree_digest(folder)
    bucket.store.put(f"artifacts/{digest}/saved_model/saved_model.pb", b"gra")
    assert not bucket.has(digest)
    with pytest.raises(TerminalError, match="is not in the workspace bucket"):
        bucket.pull(digest, tmp_path / "back")
    bucket.push(folder)
    (tmp_path / "back").mkdir()
    bucket.pull(digest, tmp_path / "back")


def test_an_artifact_of_which_a_file_was_deleted_is_brought_again(
    bucket: WorkspaceBucket, tmp_path: Path
) -> None:
    folder = write_artifact(tmp_path / "made")
    digest = bucket.push(folder)
    bucket.store.delete(f"artifacts/{digest}/saved_model/saved_model.pb")
    assert not bucket.has(digest)
    bucket.push(folder)
    assert bucket.has(digest)


def test_damage_in_the_bucket_never_reaches_a_workspace(
    bucket: WorkspaceBucket, tmp_path: Path
) -> None:
    there = SharedWorkspace(tmp_path / "there", bucket)
    known = result(made(there))
    there.remember(known)
    assert known.artifact is not None
    digest = known.artifact.path.name
    bucket.store.put(f"artifacts/{digest}/saved_model/saved_model.pb", b"other")
    here = SharedWorkspace(tmp_path / "here", bucket)
    with pytest.raises(TerminalError, match=digest[:12]):
        here.bring(known)
    assert here.find(known.key) is None
    assert not list((here.root / "artifacts").iterdir())
    assert not list((here.root / "staging").iterdir())


def test_a_result_is_known_wherever_the_bucket_is(bucket: WorkspaceBucket, tmp_path: Path) -> None:
    there = SharedWorkspace(tmp_path / "there", bucket)
    known = result(made(there))
    there.remember(known)
    shutil.rmtree(there.root)
    here = SharedWorkspace(tmp_path / "here", bucket)
    found = here.find(known.key)
    assert found is not None
    assert found.reused
    assert found.artifact is not None
    assert found.artifact.path.is_relative_to(here.root)
    assert tree_digest(found.artifact.path) == found.artifact.digest
    assert here.find("sha256:" + "b" * 64) is None


def test_an_artifact_that_is_nowhere_is_named(bucket: WorkspaceBucket, tmp_path: Path) -> None:
    there = SharedWorkspace(tmp_path / "there", bucket)
    lost = result(made(there))
    shutil.rmtree(there.root / "artifacts")
    with pytest.raises(TerminalError, match="neither in"):
        there.share(lost)


def test_an_artifact_that_was_changed_on_the_disk_is_not_shared(
    bucket: WorkspaceBucket, tmp_path: Path
) -> None:
    there = SharedWorkspace(tmp_path / "there", bucket)
    changed = result(made(there))
    assert changed.artifact is not None
    (changed.artifact.path / "saved_model" / "saved_model.pb").write_text("other")
    with pytest.raises(TerminalError, match="is not what it was"):
        there.share(changed)


def test_every_path_of_an_artifact_in_a_message_moves_and_nothing_else(tmp_path: Path) -> None:
    digest = "c" * 64
    old = f"/old/place/artifacts/{digest}"
    artifact = ArtifactRef(kind="keras", digest=digest, uri=old, size_bytes=1)
    request = StepRequest(
        step="select",
        model="tiny",
        config={"file": f"{old}/report.json", "note": f"made {old}", "list": [old, 3]},
        inputs={"source": artifact},
        workspace="/old/place",
    )
    moved = relocated(request, tmp_path)
    new = f"{tmp_path}/artifacts/{digest}"
    assert moved.inputs["source"].uri == new
    assert moved.config == {"file": f"{new}/report.json", "note": f"made {old}", "list": [new, 3]}
    assert artifacts_in(request) == artifacts_in(moved) == [digest]


def test_the_marker_is_no_part_of_the_artifact(bucket: WorkspaceBucket, tmp_path: Path) -> None:
    digest = bucket.push(write_artifact(tmp_path / "made"))
    (tmp_path / "back").mkdir()
    bucket.pull(digest, tmp_path / "back")
    assert not list((tmp_path / "back").rglob(MARKER))
