"""Publish, follow and clear up over a bad network: issue 3, done when 4."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from slipway.content import folder_files, tree_digest
from slipway.errors import TransientError
from slipway.serving.channels import move_channel
from slipway.serving.download import find_damage
from slipway.serving.layout import resolve
from slipway.serving.ledger_changes import read_ledger
from slipway.serving.publish import Published, publish
from slipway.serving.upkeep.fsck import check
from slipway.serving.upkeep.gc import collect
from support.clouds import cloud_behind_gateway
from support.faults import ERRORS, Schedule
from support.following import MODEL, following
from support.gateway import amazon_error
from support.models import write_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from slipway.storage import Store
    from support.clouds import Cloud
    from support.following import Following

VERSIONS = 3
KEEP = 2
DEADLINE_SECONDS = 120
IN_PARTS_BYTES = 9 << 20


def schedule(cloud: Cloud, seed: int, rate: float, most: int | None) -> Schedule:
    made = Schedule(seed, rate, cloud.base, ERRORS[cloud.kind], most=most)
    cloud.front.rule = made
    return made


def write(tmp_path: Path, turn: int) -> Path:
    size = IN_PARTS_BYTES if turn == VERSIONS else 20_000
    return write_model(tmp_path / f"m{turn}", seed=turn, data_bytes=size)


def put(store: Store, folder: Path) -> Published:
    return publish(store, MODEL, folder, variant="v", metrics={}, golden=b"{}", removes_later=True)


def as_airflow(action: Callable[[], None]) -> None:
    """What may pass is tried again; anything else fails the test."""
    until = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            return action()
        except TransientError:
            assert time.monotonic() < until


class Life:
    """A model's life over a bad line: its versions are published, followed, promoted, removed."""

    def __init__(self, cloud: Cloud, folder: Path, made: Following) -> None:
        self.direct = cloud.direct
        self.store = cloud.behind()
        self.folder = folder
        self.made = made

    def publish(self, turn: int) -> None:
        folder = write(self.folder, turn)
        published = put(self.store, folder)
        assert (published.version, published.digest) == (turn, tree_digest(folder))

    def follow(self, turn: int) -> None:
        if not self.made.poll():
            raise next(iter(self.made.follower.failures.values()))
        manifest = resolve(self.direct, MODEL, turn)
        copy = self.made.folder / str(turn)
        assert find_damage(copy, manifest) is None
        assert len(folder_files(copy)) == len(manifest.files) + 1

    def promote(self, turn: int) -> None:
        moved = move_channel(
            self.store,
            MODEL,
            "stable",
            version=turn,
            digest=tree_digest(self.folder / f"m{turn}"),
            expected_generation=turn - 1,
            moved_by=f"run{turn}",
        )
        assert (moved.version, moved.generation) == (turn, turn)

    def clear_up(self, _turn: int) -> None:
        collect(self.store, MODEL, KEEP)


def live(cloud: Cloud, tmp_path: Path, retried: Callable[[Callable[[], None]], None]) -> None:
    with following(cloud.behind(), tmp_path / "served") as made:
        life = Life(cloud, tmp_path, made)
        for turn in range(1, VERSIONS + 1):
            for action in (life.publish, life.follow, life.promote, life.clear_up):
                retried(partial(action, turn))


def everything_is_well(cloud: Cloud, tmp_path: Path) -> None:
    """A clean reader reads every byte past the gateway."""
    report = check(cloud.direct, MODEL, deep=True)
    assert report.findings == ()
    assert report.versions == KEEP
    ledger = read_ledger(cloud.direct, MODEL)
    assert ledger.next_version == VERSIONS + 1
    digests = [tree_digest(tmp_path / f"m{turn}") for turn in range(1, VERSIONS + 1)]
    assert [ledger.versions[turn].digest for turn in range(1, VERSIONS + 1)] == digests
    states = [ledger.versions[turn].state for turn in range(1, VERSIONS + 1)]
    assert states == ["removed"] * (VERSIONS - KEEP) + ["published"] * KEEP


def test_what_goes_wrong_now_and_then_is_not_even_noticed(cloud: Cloud, tmp_path: Path):
    faults = schedule(cloud, 1, rate=0.25, most=2)
    live(cloud, tmp_path, lambda action: action())
    print(dict(faults.done), len(cloud.front.seen), "requests")  # noqa: T201 - see -s
    assert {"CutRequest", "CutAnswer", "Delay"} < set(faults.done)
    assert faults.done.total() > len(cloud.front.seen) / 10
    everything_is_well(cloud, tmp_path)


def test_on_a_line_that_hardly_works_runs_are_repeated_and_nothing_is_torn(
    cloud: Cloud, tmp_path: Path
):
    faults = schedule(cloud, 3, rate=0.45, most=None)
    live(cloud, tmp_path, as_airflow)
    print(dict(faults.done), len(cloud.front.seen), "requests")  # noqa: T201 - see -s
    assert faults.done.total() > len(cloud.front.seen) / 4
    everything_is_well(cloud, tmp_path)


def test_a_slow_line_is_no_silent_server(cloud: Cloud, tmp_path: Path):
    folder = write(tmp_path, VERSIONS)
    cloud.front.bytes_per_second = 2e6
    put(cloud.behind(), folder)
    sent = [path for method, path in cloud.front.seen if method == "PUT" and "partNumber" in path]
    sent += [path for method, path in cloud.front.seen if method == "PUT" and "upload_id" in path]
    assert len(sent) == (2 if cloud.kind == "s3" else 1), "something was sent twice"
    with following(cloud.behind(), tmp_path / "served") as made:
        assert made.poll()
    assert check(cloud.direct, MODEL, deep=True).findings == ()


def test_a_commit_that_gave_way_to_another_which_never_came_is_made_after_all(
    request: pytest.FixtureRequest, tmp_path: Path
):
    gave_way = amazon_error(409, "ConditionalRequestConflict")
    with cloud_behind_gateway("s3", request) as cloud:
        cloud.front.rule = lambda method, path: (
            gave_way
            if path.endswith("slipway.json")
            and cloud.front.seen.count((method, path)) == 1
            and method == "PUT"
            else None
        )
        published = put(cloud.behind(), write(tmp_path, 1))
        assert cloud.front.count("PUT", "slipway.json") == 2
        assert (published.version, published.already_published) == (1, False)
        assert check(cloud.direct, MODEL, deep=True).findings == ()
