"""A model's life over a bad line, and the proof that it left everything well."""

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
from support.faults import ERRORS, Schedule
from support.following import MODEL, following
from support.models import write_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from slipway.storage import Store
    from support.clouds import Cloud
    from support.following import Following

VERSIONS = 3
KEEP = 2
LARGE = VERSIONS  # the version whose weights go in parts
DEADLINE_SECONDS = 120
IN_PARTS_BYTES = 9 << 20


def schedule(cloud: Cloud, seed: int, rate: float, most: int | None) -> Schedule:
    made = Schedule(seed, rate, cloud.base, ERRORS[cloud.kind], most=most)
    cloud.front.rule = made
    return made


def write(tmp_path: Path, turn: int) -> Path:
    size = IN_PARTS_BYTES if turn == LARGE else 20_000
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
