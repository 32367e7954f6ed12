"""What each operation costs in requests, as docs/buckets.md says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.serving.catalog import list_versions
from slipway.serving.channels import move_channel
from slipway.serving.layout import resolve
from slipway.serving.upkeep.adopt import adopt
from slipway.serving.upkeep.fsck import check
from slipway.serving.upkeep.gc import collect
from support.following import following
from support.hand_made import MODEL, copy_by_hand, publish_some
from support.models import write_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from slipway.storage import Store

VERSIONS = 4
FILES = 6


def cost(store: Store, act: Callable[[], object]) -> int:
    before = store.requests
    act()
    return store.requests - before


def test_looking_costs_a_request_a_version_and_a_few(store: Store, tmp_path: Path):
    publish_some(store, tmp_path, VERSIONS)
    assert cost(store, lambda: resolve(store, MODEL, VERSIONS)) == 1
    assert cost(store, lambda: list_versions(store, MODEL)) == VERSIONS + 4
    assert cost(store, lambda: collect(store, MODEL, VERSIONS)) == VERSIONS + 5
    # Golden requests are one object more a version.
    assert cost(store, lambda: check(store, MODEL)) == 2 * VERSIONS + 4
    deep = cost(store, lambda: check(store, MODEL, deep=True))
    assert deep == (2 + FILES) * VERSIONS + 4


def test_an_idle_poll_costs_one(store: Store, tmp_path: Path):
    publish_some(store, tmp_path, VERSIONS)
    with following(store, tmp_path / "served") as made:
        assert made.poll()
        assert cost(store, made.poll) == 1


def test_a_move_of_a_channel_costs_seven(store: Store, tmp_path: Path):
    [one] = publish_some(store, tmp_path, 1)
    move = {"version": 1, "digest": one.digest, "expected_generation": 0}
    assert cost(store, lambda: move_channel(store, MODEL, "stable", **move)) == 7  # type: ignore[arg-type]
    assert cost(store, lambda: move_channel(store, MODEL, "stable", **move)) == 3  # type: ignore[arg-type]


def test_a_version_that_goes_costs_its_files_and_a_few(store: Store, tmp_path: Path):
    publish_some(store, tmp_path, VERSIONS)
    removing = cost(store, lambda: collect(store, MODEL, VERSIONS - 1)) - (VERSIONS + 5)
    if store.uri.startswith("file"):
        assert removing == 4
    else:
        assert removing == FILES + (6 if store.uri.startswith("gs") else 5)


def test_an_adoption_reads_each_file_once(store: Store, tmp_path: Path):
    publish_some(store, tmp_path, 1)
    copy_by_hand(store, write_model(tmp_path / "hand", seed=9), "7")
    assert cost(store, lambda: adopt(store, MODEL, 7)) == FILES + 10
