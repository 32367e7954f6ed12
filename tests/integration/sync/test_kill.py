"""A following process may be killed at any instant: what a server sees stays whole."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from slipway.storage import open_store
from support.following import FolderReader, publish_model, start_follower
from support.models import write_model

if TYPE_CHECKING:
    from pathlib import Path

    from support.seaweed import S3Server

KILLS = 100


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_no_server_sees_half_a_version_wherever_its_follower_was_killed(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
):
    credentials, uri = None, str(tmp_path / "published")
    if kind == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        credentials, uri = server.credentials, request.getfixturevalue("s3_uri")
    store = open_store(uri, credentials)
    folder = tmp_path / "served"
    folder.mkdir()
    reader = FolderReader(folder)
    reader.start()
    instants = random.Random(7)
    longest, unfinished = 0.05, 0
    try:
        for turn in range(1, KILLS + 1):
            version = publish_model(
                store, write_model(tmp_path / "m", seed=turn, data_bytes=3 << 20)
            )
            process = start_follower(uri, credentials, folder, keep=1 + turn % 2)
            time.sleep(instants.uniform(0, longest))
            process.kill()
            process.join(30)
            finished = (folder / str(version)).exists()
            unfinished += not finished
            longest *= 0.6 if finished else 1.2
            if turn % 3 == 0:  # the others leave their remains to the next
                process = start_follower(uri, credentials, folder, keep=1 + turn % 2)
                process.join(60)
                assert process.exitcode == 0
                assert (folder / str(version)).exists()
    finally:
        reader.stop()
    assert reader.complaints == []
    assert unfinished > KILLS // 5, "too few were killed in the middle to prove anything"
    assert len(reader.seen) >= KILLS // 3
    assert reader.polls > KILLS
    process = start_follower(uri, credentials, folder, keep=1)
    process.join(60)
    assert process.exitcode == 0
    assert {child.name for child in folder.iterdir()} == {str(KILLS), ".slipway-sync"}
    assert [child.name for child in (folder / ".slipway-sync").iterdir()] == ["lock"]
