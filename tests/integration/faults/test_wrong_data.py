"""Data that is wrong is refused by name: by publishers, followers and the model server."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from slipway.errors import SlipwayError, TerminalError, TransientError
from slipway.serving.layout import Layout
from slipway.serving.ledger_changes import mark, read_ledger
from slipway.serving.publish import publish
from slipway.serving.server.sources import PublishedVersions
from slipway.serving.server.status import StatusError
from slipway.serving.upkeep.fsck import check
from support.following import MODEL, following, publish_model
from support.gateway import CutAnswer
from support.models import write_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from slipway.storage import ObjectInfo
    from support.clouds import Cloud

LAYOUT = Layout(MODEL)
WEIGHTS = "variables/variables.data-00000-of-00001"
CORRUPT = {"torn_version", "corrupted_file", "damaged_manifest"}
PATH = f"{LAYOUT.version_prefix(2)}/{WEIGHTS}"
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "flipped": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "truncated": lambda data: data[:-1],
    "longer": lambda data: data + b"x",
}


@pytest.fixture
def two(cloud: Cloud, tmp_path: Path) -> Cloud:
    """Two versions are published."""
    for seed in (1, 2):
        publish_model(cloud.direct, write_model(tmp_path / f"m{seed}", seed=seed))
    return cloud


@pytest.fixture
def source(two: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PublishedVersions:
    """What the model server reads; it opens the bucket by the environment."""
    for name, value in two.login.to_environment().items():
        monkeypatch.setenv(name, value)
    return PublishedVersions(f"{two.uri}/{MODEL}", tmp_path / "cache")


def cached(tmp_path: Path) -> list[str]:
    return sorted(folder.name.partition("-")[0] for folder in (tmp_path / "cache").glob("*"))


def alter(cloud: Cloud, path: str, change: Callable[[bytes], bytes]) -> None:
    found = cloud.direct.get(path)
    assert found is not None
    cloud.direct.put(path, change(found.data))


def newer(manifest: bytes) -> bytes:
    return json.dumps({**json.loads(manifest), "schema_version": 2}).encode()


def cut_weights(_method: str, path: str) -> CutAnswer | None:
    return CutAnswer(100) if PATH in unquote(path) else None


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_model_server_refuses_an_object_that_is_not_what_the_manifest_says(
    two: Cloud, source: PublishedVersions, tmp_path: Path, damage: str
):
    alter(two, PATH, DAMAGES[damage])
    with pytest.raises(StatusError, match=PATH) as caught:
        source.fetch(2)
    assert caught.value.code == "DATA_LOSS"
    source.fetch(1)
    assert cached(tmp_path) == ["v1"]


def test_the_model_server_refuses_a_newer_schema_by_name(
    two: Cloud, source: PublishedVersions, tmp_path: Path
):
    alter(two, LAYOUT.manifest(2), newer)
    with pytest.raises(TerminalError, match=r"2/slipway.json has schema 2") as caught:
        source.fetch(2)
    assert "Upgrade Slipway" in caught.value.hint
    source.fetch(1)
    assert cached(tmp_path) == ["v1"]


def test_a_download_that_always_breaks_off_gives_no_version(
    two: Cloud, source: PublishedVersions, tmp_path: Path
):
    two.front.rule = cut_weights
    with (
        following(two.behind(), tmp_path / "served") as made,
        ThreadPoolExecutor() as pool,
    ):
        fetched, polled = pool.submit(source.fetch, 2), pool.submit(made.poll)
        error = fetched.exception()
        assert isinstance(error, TransientError)
        assert WEIGHTS in error.message
        assert polled.result() is False
        assert WEIGHTS in str(made.follower.failures[2])
        source.fetch(1)
        assert cached(tmp_path) == ["v1"]
        assert made.versions == {1}
        two.front.rule = lambda _method, _path: None
        source.fetch(2)
        deadline = time.monotonic() + 30
        while not made.poll():
            assert time.monotonic() < deadline
        assert made.versions == {1, 2}


def test_bytes_that_a_proxy_alters_are_refused(
    two: Cloud, source: PublishedVersions, tmp_path: Path
):
    good = (tmp_path / "m2" / WEIGHTS).read_bytes()
    two.front.spoil = lambda body: body.replace(good[100:200], bytes(100))
    with pytest.raises((StatusError, SlipwayError), match=PATH):
        source.fetch(2)
    with following(two.behind(), tmp_path / "served") as made:
        assert not made.poll()
        assert made.versions == {1}
        assert made.metrics.value("corrupt") == 1


@pytest.mark.parametrize("state", ["published", "allocated"])
def test_a_publisher_refuses_a_newer_schema_by_name(two: Cloud, tmp_path: Path, state: str):
    alter(two, LAYOUT.manifest(2), newer)
    if state == "allocated":  # killed before it could note its commit, then overtaken
        assert mark(two.direct, MODEL, 2, "allocated")

    def but_the_ledger() -> list[ObjectInfo]:
        return [info for info in two.direct.list(MODEL) if info.path != LAYOUT.ledger]

    before, known = but_the_ledger(), read_ledger(two.direct, MODEL).versions[2]
    with pytest.raises(TerminalError, match=r"2/slipway.json has schema 2"):
        publish(two.behind(), MODEL, tmp_path / "m2", variant="v", metrics={})
    assert but_the_ledger() == before
    # Who finds a number allocated says there that it has begun too, before anything is sent.
    told = known.model_copy(update={"shared": state == "allocated"})
    assert read_ledger(two.direct, MODEL).versions[2] == told


@pytest.mark.parametrize("name", ["saved_model.pb", WEIGHTS])
def test_a_file_that_changes_while_it_is_sent_is_refused_by_name_or_published_as_it_was(
    cloud: Cloud, tmp_path: Path, name: str
):
    folder = write_model(tmp_path / "m", seed=1, data_bytes=30 << 20)
    harmed: list[str] = []

    def change(method: str, path: str) -> None:
        # The first byte of the model that arrives; what was read by then counts.
        if method != "GET" and "ledger" not in path and not harmed:
            harmed.append(path)
            with (folder / name).open("r+b") as stream:
                stream.seek(-1, 2)
                stream.write(b"!")

    cloud.front.rule = change
    refused = None
    try:
        publish(cloud.behind(), MODEL, folder, variant="v", metrics={})
    except TerminalError as error:
        refused = error.message
    assert harmed
    committed = cloud.direct.get(LAYOUT.manifest(1)) is not None
    assert committed is (refused is None)
    assert refused is None or f"{folder / name} changed or vanished" in refused
    assert not {f.kind for f in check(cloud.direct, MODEL, deep=True).findings} & CORRUPT
