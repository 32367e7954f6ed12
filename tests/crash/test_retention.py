"""A retention may be killed at any step: issue 3, done when 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slipway.serving.channels import move_channel
from slipway.serving.layout import parse_version, resolve
from slipway.serving.ledger_changes import read_ledger
from slipway.serving.publish import Published, publish
from slipway.serving.upkeep.fsck import check
from slipway.serving.upkeep.gc import collect
from slipway.storage import Store, open_store
from support.following import MODEL
from support.models import write_model
from support.victims import GOLDEN, Place, collect_in_process
from support.watching import data_bytes, watching_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.deaths import Kills
    from support.dying import Death

pytestmark = pytest.mark.crash

KEEP = 2


def test_no_reader_sees_half_a_version_wherever_a_retention_was_killed(
    place: Place, kills: Callable[[str], Kills], tmp_path: Path
):
    store = open_store(place.uri, place.credentials)
    stable = publish_number(store, tmp_path, 1)
    move_channel(store, MODEL, "stable", version=1, digest=stable.digest, expected_generation=0)
    for version in (2, 3):
        publish_number(store, tmp_path, version)
    counted = kills("retention")
    newest = 3

    def work(turn: int, death: Death) -> bool:
        nonlocal newest
        newest = turn + 3
        publish_number(store, tmp_path, newest)
        staying, going = {1, newest - 1, newest}, newest - 2
        survived = collect_in_process(place, KEEP, death)
        versions = versions_in(store)
        assert staying <= versions
        assert read_ledger(store, MODEL).next_version == newest + 1
        begun = read_ledger(store, MODEL).versions[going].state == "removed"
        assert begun or going in versions
        assert versions == staying or not survived
        counted.middle += begun and not survived
        collect(store, MODEL, KEEP)
        assert versions_in(store) == staying
        return survived

    with watching_store(place) as report:
        counted.run(["change" if place.kind == "local" else "request"], work)
    assert report.complaints == []
    assert counted.middle > counted.count // 3, "too few died in the middle to prove anything"
    assert report.polls > newest
    assert {1, newest - 1, newest} <= report.whole
    found = check(store, MODEL, deep=True)
    assert {finding.severity for finding in found.findings} <= {"note"}
    assert found.versions == KEEP + 1
    assert resolve(store, MODEL, 1).digest == stable.digest
    assert publish_number(store, tmp_path, newest + 1).version == newest + 1


def publish_number(store: Store, folder: Path, version: int) -> Published:
    model = write_model(folder / "m", seed=version, data_bytes=data_bytes(version))
    published = publish(store, MODEL, model, variant="original", metrics={}, golden=GOLDEN)
    assert published.version == version
    return published


def versions_in(store: Store) -> set[int]:
    # By objects: some servers name a folder for a while after its last object went.
    names = {info.path.split("/")[1] for info in store.list(MODEL)}
    return {version for name in names if (version := parse_version(name)) is not None}
