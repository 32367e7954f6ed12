"""A publishing process may be killed at any instant: issue 2, done when 6."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

import pytest

from slipway.content import bytes_digest, tree_digest
from slipway.serving.catalog import list_versions
from slipway.serving.layout import Layout, find_manifest, parse_version, resolve
from slipway.serving.ledger import read_ledger
from slipway.serving.publish import publish
from slipway.storage import Store, StoreCredentials, open_store
from support.models import write_model
from support.publisher import start_publisher

if TYPE_CHECKING:
    from pathlib import Path

    from support.fake_gcs import GcsServer
    from support.seaweed import S3Server

# A publisher that gets nowhere in this time is broken: the test then fails by its last assertion.
LONGEST_SECONDS = 2.0
KILLS = 100
MODEL = "digits"
LAYOUT = Layout(MODEL)
SMALL_BYTES = 200_000
IN_PARTS_BYTES = 9 << 20
PAUSE_SECONDS = 0.002


class Reader(threading.Thread):
    """Polls the store as a server would, and complains about anything half done.

    Args:
        store: Its own, not shared with a publisher.
        folders_appear_whole: In a local folder a version is seen whole or not at all.
    """

    def __init__(self, store: Store, *, folders_appear_whole: bool) -> None:
        super().__init__(daemon=True)
        self.polls = 0
        self.unfinished_seen = 0
        self.complaints: list[str] = []
        self.verified: set[int] = set()
        self._store = store
        self._whole = folders_appear_whole
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(PAUSE_SECONDS):
            try:
                self._poll()
            except Exception as error:  # noqa: BLE001 - whatever a reader runs into is the finding
                self.complaints.append(repr(error))
            self.polls += 1

    def stop(self) -> None:
        self._done.set()
        self.join(30)
        self._poll()

    def _poll(self) -> None:
        names = self._store.list_folders(MODEL)
        for version in {parse_version(name) for name in names} - {None} - self.verified:
            assert version is not None
            self._look_at(version)

    def _look_at(self, version: int) -> None:
        present = {info.path for info in self._store.list(LAYOUT.version_prefix(version))}
        manifest = find_manifest(self._store, MODEL, version)
        marker = f"{LAYOUT.version_prefix(version)}/saved_model.pb"
        if marker in present and len(present - {LAYOUT.manifest(version)}) < 6:
            self.complaints.append(f"{version}: saved_model.pb came before {sorted(present)}")
        if manifest is None:
            self.unfinished_seen += 1
            if self._whole:
                self.complaints.append(f"{version}: a folder without a manifest")
            return
        for entry in manifest.files:
            found = self._store.get(f"{LAYOUT.version_prefix(version)}/{entry.path}")
            if found is None or bytes_digest(found.data) != entry.sha256:
                self.complaints.append(f"{version}: {entry.path} is not what the manifest says")
        self.verified.add(version)


def kill_and_finish(uri: str, credentials: StoreCredentials | None, folder: Path) -> Reader:
    """Kills a publisher at 100 random instants, finishes its work each time."""
    store = open_store(uri, credentials)
    reader = Reader(open_store(uri, credentials), folders_appear_whole=credentials is None)
    reader.start()
    instants = random.Random(6)
    unbound = unfinished = 0
    # How long to wait at most before the kill; follows the speed of the machine, so that about a
    # quarter of the publishers just get through.
    longest = {SMALL_BYTES: 0.05, IN_PARTS_BYTES: 0.2}
    try:
        for turn in range(1, KILLS + 1):
            size = IN_PARTS_BYTES if turn % 5 == 0 else SMALL_BYTES
            model = write_model(folder / "m", seed=turn, data_bytes=size)
            process = start_publisher(uri, credentials, MODEL, model)
            time.sleep(instants.uniform(0, longest[size]))
            process.kill()
            process.join(30)
            bound = read_ledger(store, MODEL).version_of(tree_digest(model))
            committed = bound is not None and find_manifest(store, MODEL, bound) is not None
            longest[size] = min(longest[size] * (0.6 if committed else 1.2), LONGEST_SECONDS)
            unbound += bound is None
            unfinished += bound is not None and not committed
            finished = publish(store, MODEL, model, variant="original", metrics={}, golden=b"{}")
            assert finished.version == (bound or turn) == turn
            # A request that the dead process had sent may still be carried out after the look.
            assert finished.already_published or not committed
    finally:
        reader.stop()
    print(f"{unbound} unbound, {unfinished} unfinished, {reader.polls} polls")  # noqa: T201 - see -s
    assert unfinished > KILLS // 5, "too few were killed in the middle to prove anything"
    return reader


@pytest.mark.parametrize("kind", ["local", "s3", "gcs"])
def test_no_reader_sees_half_a_version_wherever_its_publisher_was_killed(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
):
    credentials, uri = None, str(tmp_path / "published")
    if kind != "local":
        server: S3Server | GcsServer = request.getfixturevalue(f"{kind}_server")
        credentials, uri = server.credentials, request.getfixturevalue(f"{kind}_uri")
    reader = kill_and_finish(uri, credentials, tmp_path)
    assert reader.complaints == []
    assert reader.verified == set(range(1, KILLS + 1))
    assert reader.polls > KILLS
    store = open_store(uri, credentials)
    infos = list_versions(store, MODEL)
    assert [info.version for info in infos] == list(range(KILLS, 0, -1))
    assert {info.state for info in infos} == {"published"}
    assert len({resolve(store, MODEL, info.version).digest for info in infos}) == KILLS
