"""A publishing process may be killed at any step: issue 3, done when 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slipway.content import tree_digest
from slipway.serving.catalog import list_versions
from slipway.serving.layout import find_manifest, resolve
from slipway.serving.ledger_changes import read_ledger
from slipway.serving.publish import publish
from slipway.storage import open_store
from support.following import MODEL
from support.models import write_model
from support.victims import GOLDEN, Place, publish_in_process
from support.watching import data_bytes, watching_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.deaths import Kills
    from support.dying import Death

pytestmark = pytest.mark.crash


def test_no_reader_sees_half_a_version_wherever_its_publisher_was_killed(
    place: Place, kills: Callable[[str], Kills], tmp_path: Path
):
    store = open_store(place.uri, place.credentials)
    counted = kills("publish")
    turns = 0

    def work(turn: int, death: Death) -> bool:
        nonlocal turns
        turns = turn
        model = write_model(tmp_path / "m", seed=turn, data_bytes=data_bytes(turn))
        survived = publish_in_process(place, model, death)
        ledger = read_ledger(store, MODEL)
        bound = ledger.version_of(tree_digest(model))
        committed = bound is not None and find_manifest(store, MODEL, bound) is not None
        done = committed and ledger.versions[turn].state == "published"
        assert done or not survived
        counted.middle += bound is not None and not done
        again = publish(store, MODEL, model, variant="original", metrics={}, golden=GOLDEN)
        assert again.version == (bound or turn) == turn
        # A request that the dead process had sent may still be carried out after the look.
        assert again.already_published or not committed
        return survived

    with watching_store(place) as report:
        counted.run(["change" if place.kind == "local" else "request"], work)
    assert report.complaints == []
    assert counted.middle > counted.count // 2, "too few died in the middle to prove anything"
    assert report.polls > turns
    assert report.whole == set(range(1, turns + 1))
    infos = list_versions(store, MODEL)
    assert [info.version for info in infos] == list(range(turns, 0, -1))
    assert {info.state for info in infos} == {"published"}
    assert len({resolve(store, MODEL, info.version).digest for info in infos}) == turns
