"""A retention may be killed at any instant: issue 3, done when 2."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

import pytest

from slipway.content import bytes_digest
from slipway.serving.channels import move_channel
from slipway.serving.layout import Layout, find_manifest, parse_version, resolve
from slipway.serving.ledger import read_ledger
from slipway.serving.upkeep.fsck import check
from slipway.serving.upkeep.gc import collect
from slipway.storage import Store, StoreCredentials, open_store
from support.collector import start_collector
from support.hand_made import MODEL, publish_some
from support.models import write_model

if TYPE_CHECKING:
    from pathlib import Path

    from support.seaweed import S3Server

KILLS = 100
KEEP = 2
LAYOUT = Layout(MODEL)


class Reader(threading.Thread):
    """Polls as fast as it can, and complains about a version that is there and not whole.

    Args:
        store: Its own.
        folders_go_whole: In a local folder a version goes as one.
    """

    def __init__(self, store: Store, *, folders_go_whole: bool) -> None:
        super().__init__(daemon=True)
        self.looks = 0
        self.complaints: list[str] = []
        self._store = store
        self._whole = folders_go_whole
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.is_set():
            try:
                for name in self._store.list_folders(MODEL):
                    version = parse_version(name)
                    if version is not None:
                        self._look_at(version)
            except Exception as error:  # noqa: BLE001 - whatever a reader runs into is the finding
                self.complaints.append(repr(error))

    def stop(self) -> None:
        self._done.set()
        self.join(30)

    def _look_at(self, version: int) -> None:
        self.looks += 1
        manifest = find_manifest(self._store, MODEL, version)
        if manifest is None:
            prefix = LAYOUT.version_prefix(version)
            left = {info.path for info in self._store.list(prefix)}
            if self._whole and left and self._store.get(LAYOUT.manifest(version)) is None:
                left = {info.path for info in self._store.list(prefix)}
                if left:
                    self.complaints.append(f"{version}: no manifest, but {sorted(left)}")
            return
        for entry in manifest.files:
            found = self._store.get(f"{LAYOUT.version_prefix(version)}/{entry.path}")
            if found is not None and bytes_digest(found.data) == entry.sha256:
                continue
            # Removed since its manifest was read: then the manifest went first.
            if find_manifest(self._store, MODEL, version) is not None:
                self.complaints.append(
                    f"{version}: {entry.path} is not whole, the manifest is there"
                )
            return


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_no_reader_sees_half_a_version_wherever_a_retention_was_killed(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
):
    credentials: StoreCredentials | None = None
    uri = str(tmp_path / "published")
    if kind == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        credentials, uri = server.credentials, request.getfixturevalue("s3_uri")
    store = open_store(uri, credentials)
    [stable] = publish_some(store, tmp_path, 1)
    move_channel(store, MODEL, "stable", version=1, digest=stable.digest, expected_generation=0)
    reader = Reader(open_store(uri, credentials), folders_go_whole=credentials is None)
    reader.start()
    instants = random.Random(3)
    longest, unfinished = 0.05, 0
    try:
        for turn in range(2, KILLS + 2):
            publish_one(store, tmp_path, turn)
            process = start_collector(uri, credentials, MODEL, KEEP)
            time.sleep(instants.uniform(0, longest))
            process.kill()
            process.join(30)
            versions = versions_in(store)
            expected = {1, turn, turn - 1} - {0}
            assert expected <= versions
            over = versions == expected
            unfinished += not over
            longest *= 0.7 if over else 1.2
            if turn % 5 == 0:
                collect(store, MODEL, KEEP)
                assert versions_in(store) == expected
    finally:
        reader.stop()
    print(f"{unfinished} unfinished, {reader.looks} looks at a version")  # noqa: T201 - see -s
    assert unfinished > KILLS // 5, "too few were killed in the middle to prove anything"
    assert reader.complaints == []
    assert reader.looks > KILLS
    collect(store, MODEL, KEEP)
    report = check(store, MODEL, deep=True)
    assert report.findings == ()
    assert report.versions == KEEP + 1
    assert resolve(store, MODEL, 1).digest == stable.digest
    assert read_ledger(store, MODEL).next_version == KILLS + 2


def publish_one(store: Store, folder: Path, seed: int) -> None:
    from slipway.serving.publish import publish

    model = write_model(folder / "m", seed=seed)
    assert publish(store, MODEL, model, variant="v", metrics={}, golden=b"{}").version == seed


def versions_in(store: Store) -> set[int]:
    # By objects: some servers name a folder for a while after its last object went.
    names = {info.path.split("/")[1] for info in store.list(MODEL)}
    return {version for name in names if (version := parse_version(name)) is not None}
