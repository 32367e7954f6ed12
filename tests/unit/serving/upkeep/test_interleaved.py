"""Retention, rollouts and publishers meet at every request; a real bucket orders them no better.

Each case runs them a request at a time in an order of the test's choice, and looks at the bucket
after every single one.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import TerminalError, TransientError
from slipway.serving import ledger_changes
from slipway.serving.channels import clear_channel, move_channel, read_channel
from slipway.serving.layout import find_manifest, parse_version
from slipway.serving.ledger_changes import read_ledger
from slipway.serving.publish import Published, publish
from slipway.serving.upkeep.fsck import check
from slipway.serving.upkeep.gc import GcReport, collect
from slipway.serving.upkeep.repair import repair
from support.hand_made import MODEL, publish_some, tomorrow
from support.memory_store import Actor, Cells, MemoryStore
from support.models import write_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from slipway.storage import Store

VERSIONS = 4


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_changes, "_LONGEST_PAUSE_SECONDS", 0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def published(folder: Path) -> Cells:
    """Four versions; stable is the newest."""
    store = MemoryStore()
    newest = publish_some(store, folder, VERSIONS)[-1]
    point(store, newest.version, 0)
    return store.cells


def point(store: Store, version: int, generation: int, by: str = "") -> None:
    manifest = find_manifest(MemoryStore(store.cells), MODEL, version)  # type: ignore[attr-defined]
    digest = manifest.digest if manifest else "0" * 64
    move_channel(
        store,
        MODEL,
        "stable",
        version=version,
        digest=digest,
        expected_generation=generation,
        moved_by=by,
    )


def retention(store: Store) -> GcReport:
    return collect(store, MODEL, 1, now=tomorrow())


def promotion(version: int, generation: int = 1, by: str = "") -> Callable[[Store], None]:
    return lambda store: point(store, version, generation, by)


def channels_point_to_what_is_there(cells: Cells) -> None:
    store = MemoryStore(cells)
    for name in ("stable", "canary"):
        channel = read_channel(store, MODEL, name)
        if channel is None or channel.version is None:
            continue
        whole(store, channel.version)
        assert read_ledger(store, MODEL).versions[channel.version].state != "removed"


def whole(store: MemoryStore, version: int) -> None:
    manifest = find_manifest(store, MODEL, version)
    assert manifest is not None, f"version {version} is gone"
    for entry in manifest.files:
        assert f"{MODEL}/{version}/{entry.path}" in store.cells, f"{version}: {entry.path}"


def every_manifest_is_whole(cells: Cells) -> None:
    store = MemoryStore(cells)
    for name in store.list_folders(MODEL):
        version = parse_version(name)
        if version is not None and f"{MODEL}/{version}/slipway.json" in cells:
            whole(store, version)


def requests_of(cells: Cells, work: Callable[[Store], object]) -> int:
    alone = Actor(cells.copy(), work)
    return sum(1 for _ in iter(alone.step, False))


def run(actors: Sequence[Actor], order: Sequence[int], look: Callable[[], None]) -> None:
    for number in order:
        actors[number].step()
        look()
    for actor in actors:
        while actor.step():
            look()


def test_a_channel_never_points_to_what_retention_removes(published: Cells):
    """Either runs to one of its requests, the other to one of its own, then both to the end."""
    first, second = requests_of(published, retention), requests_of(published, promotion(2))
    assert (first, second) > (10, 5)
    refused = moved = 0
    for gc_requests, mover_requests, gc_first in itertools.product(
        range(first + 1), range(second + 1), (True, False)
    ):
        cells = published.copy()
        collector, mover = Actor(cells, retention), Actor(cells, promotion(2))
        order = [0] * gc_requests + [1] * mover_requests
        actors = (collector, mover)
        run(
            actors,
            order if gc_first else order[::-1],
            lambda cells=cells: channels_point_to_what_is_there(cells),
        )
        assert collector.error is None
        kept = collector.result.kept  # type: ignore[union-attr]  # a GcReport
        stable = read_channel(MemoryStore(cells), MODEL, "stable")
        if mover.error is None:
            moved += 1
            assert (stable.version, 2 in kept) == (2, True)  # type: ignore[union-attr]
        else:
            refused += 1
            assert isinstance(mover.error, TerminalError)
            assert stable.version == VERSIONS  # type: ignore[union-attr]
        every_manifest_is_whole(cells)
    assert moved > first
    assert refused > first


@settings(max_examples=150, deadline=None)
@given(order=st.lists(st.integers(0, 3), max_size=120))
def test_two_rollouts_and_two_retentions_at_once(published: Cells, order: list[int]):
    cells = published.copy()
    actors = [
        Actor(cells, retention),
        Actor(cells, promotion(2, by="a")),
        Actor(cells, promotion(3, by="b")),
        Actor(cells, retention),
    ]
    run(actors, order, lambda: channels_point_to_what_is_there(cells))
    assert actors[0].error is None
    assert actors[3].error is None
    store = MemoryStore(cells)
    retention(store)
    assert check(store, MODEL).problems == ()


def test_what_a_dead_mover_announced_stays_until_the_channel_moves_on(published: Cells):
    for requests in range(requests_of(published, promotion(2))):
        cells = published.copy()
        dead = Actor(cells, promotion(2))
        for _ in range(requests):
            dead.step()
        store = MemoryStore(cells)
        retention(store)
        channels_point_to_what_is_there(cells)
        channel = read_channel(store, MODEL, "stable")
        assert channel is not None
        clear_channel(store, MODEL, "stable", expected_generation=channel.generation)
        assert retention(store).kept == (VERSIONS,)


def test_a_deleted_channel_is_set_again_and_followers_are_told(published: Cells):
    store = MemoryStore(published.copy())
    for generation in (1, 2):
        point(store, VERSIONS, generation)
    store.delete(f"{MODEL}/_slipway/channels/stable.json")
    point(store, 3, 0)
    assert read_ledger(store, MODEL).channels == {"stable": 1}
    assert 3 in retention(store).kept


def send(store: Store, model: Path) -> Published:
    return publish(store, MODEL, model, variant="original", metrics={}, golden=b"{}")


@settings(max_examples=200, deadline=None)
@given(order=st.lists(st.integers(0, 1), max_size=60))
def test_a_publisher_that_comes_back_meets_the_retention_of_its_leftovers(
    published: Cells, folder: Path, order: list[int]
):
    model = write_model(folder / "abandoned", seed=70)
    cells = published.copy()
    dead = Actor(cells, lambda store: send(store, model))
    while f"{MODEL}/5/variables/variables.index" not in cells:
        dead.step()
    collector, publisher = Actor(cells, retention), Actor(cells, lambda store: send(store, model))
    run((collector, publisher), order, lambda: None)
    assert collector.error is None
    store = MemoryStore(cells)
    if isinstance(publisher.error, TransientError):
        done = send(store, model)
    else:
        assert publisher.error is None
        done = publisher.result  # type: ignore[assignment]  # a Published
    every_manifest_is_whole(cells)
    whole(store, done.version)
    bound = read_ledger(store, MODEL).versions
    living = [v for v, e in bound.items() if (e.digest, e.state) == (done.digest, "published")]
    assert living == [done.version]


@settings(max_examples=200, deadline=None)
@given(order=st.lists(st.integers(0, 1), max_size=60))
def test_a_repair_leaves_a_publisher_at_work_alone(
    published: Cells, folder: Path, order: list[int]
):
    cells = published.copy()
    model = write_model(folder / "fresh", seed=71)
    mender = Actor(cells, lambda store: repair(store, check(store, MODEL)))
    publisher = Actor(cells, lambda store: send(store, model))
    run((mender, publisher), order, lambda: every_manifest_is_whole(cells))
    assert mender.error is None
    assert publisher.error is None
    assert publisher.result.version == VERSIONS + 1  # type: ignore[union-attr]
    assert check(MemoryStore(cells), MODEL).problems == ()


def _overtaken(published: Cells, folder: Path, requests: int) -> tuple[Cells, Actor]:
    """A publisher that pauses after so many requests; meanwhile another one has finished."""
    same, other = write_model(folder / "same", seed=80), write_model(folder / "other", seed=81)
    cells = published.copy()
    paused = Actor(cells, lambda store: send(store, same))
    for _ in range(requests):
        paused.step()
    store = MemoryStore(cells)
    assert send(store, same).version == VERSIONS + 1
    send(store, other)
    return cells, paused


def test_a_publisher_that_paused_never_commits_what_retention_has_removed(
    published: Cells, folder: Path
):
    same = write_model(folder / "same", seed=80)
    alone = requests_of(published, lambda store: send(store, same))
    for requests in range(1, alone + 1):
        cells, paused = _overtaken(published, folder, requests)
        report = collect(MemoryStore(cells), MODEL, 1)
        while paused.step():
            every_manifest_is_whole(cells)
        assert paused.error is None
        every_manifest_is_whole(cells)
        assert check(MemoryStore(cells), MODEL).problems == ()
        if report.waiting:
            assert [one.version for one in report.waiting if one.kind == "version"] == [5]
    # Who publishes alone keeps nobody waiting, and after a day neither do two.
    cells, _ = _overtaken(published, folder, 0)
    assert 5 in collect(MemoryStore(cells), MODEL, 1).removed_versions
    cells, _ = _overtaken(published, folder, alone - 1)
    assert 5 in collect(MemoryStore(cells), MODEL, 1, now=tomorrow()).removed_versions
