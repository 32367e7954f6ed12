"""A following process may be killed at any step: issue 3, done when 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slipway.serving.layout import MANIFEST_NAME, parse_version
from slipway.storage import open_store
from support.following import publish_model
from support.models import write_model
from support.victims import Place, follow_in_process
from support.watching import data_bytes, watching_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.deaths import Kills
    from support.dying import Death, Steps

pytestmark = pytest.mark.crash

OWN = ".slipway-sync"


def test_no_server_sees_half_a_version_wherever_its_follower_was_killed(
    place: Place, kills: Callable[[str], Kills], tmp_path: Path
):
    store = open_store(place.uri, place.credentials)
    served = tmp_path / "served"
    served.mkdir()
    counted = kills("follow")
    turns = 0

    def work(turn: int, death: Death) -> bool:
        nonlocal turns
        turns = turn
        model = write_model(tmp_path / "m", seed=turn, data_bytes=data_bytes(turn))
        assert publish_model(store, model) == turn
        before = versions_in(served)
        keep = 1 + turn % 2
        wanted = set(range(max(1, turn - keep + 1), turn + 1))
        survived = follow_in_process(place, served, keep, death)
        here = versions_in(served)
        assert before & wanted <= here
        assert all((served / str(version) / MANIFEST_NAME).is_file() for version in here)
        begun = here != before or set(leftovers(served)) > {"lock"}
        assert here == wanted or not survived
        counted.middle += begun and not survived
        assert follow_in_process(place, served, keep)
        assert versions_in(served) == wanted
        assert leftovers(served) == ["lock"]
        return survived

    of: list[Steps] = ["change"] if place.kind == "local" else ["change", "request"]
    with watching_folder(served) as report:
        counted.run(of, work)
    assert report.complaints == []
    assert counted.middle > counted.count // 2, "too few died in the middle to prove anything"
    assert report.polls > turns
    assert turns in report.whole
    assert len(report.whole) > turns // 2


def versions_in(folder: Path) -> set[int]:
    names = (parse_version(child.name) for child in folder.iterdir())
    return {version for version in names if version is not None}


def leftovers(folder: Path) -> list[str]:
    own = folder / OWN
    return sorted(child.name for child in own.iterdir()) if own.exists() else []
