"""Publishers and rollouts that race each other, as processes: issue 3, done when 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slipway.content import tree_digest
from slipway.errors import TerminalError
from slipway.serving.channels import move_channel, read_channel
from slipway.serving.ledger_changes import read_ledger
from slipway.serving.publish import Published, publish
from slipway.serving.upkeep.fsck import check
from slipway.storage import open_store
from support.hand_made import MODEL
from support.models import write_model
from support.racing import Place, moves, publishes, race

if TYPE_CHECKING:
    from pathlib import Path

PUBLISHERS = 16
CONTENTS = 8
RUNS = 6
TURNS = 5


@pytest.fixture(params=["local", "s3", "gcs"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty place."""
    if request.param == "local":
        return Place(str(tmp_path / "published"), None, MODEL)
    server = request.getfixturevalue(f"{request.param}_server")
    return Place(request.getfixturevalue(f"{request.param}_uri"), server.credentials, MODEL)


def test_as_many_versions_as_contents(place: Place, tmp_path: Path):
    folders = [str(write_model(tmp_path / f"m{n}", seed=n % CONTENTS)) for n in range(PUBLISHERS)]
    published = race(publishes, place, folders)
    assert all(isinstance(one, Published) for one in published), published
    assert {one.version for one in published} == set(range(1, CONTENTS + 1))
    assert len({(one.version, one.digest) for one in published}) == CONTENTS
    assert sum(not one.already_published for one in published) == CONTENTS
    store = open_store(place.uri, place.credentials)
    report = check(store, MODEL, deep=True)
    assert (report.versions, report.findings) == (CONTENTS, ())
    ledger = read_ledger(store, MODEL)
    assert ledger.next_version == CONTENTS + 1
    assert {entry.state for entry in ledger.versions.values()} == {"published"}


def test_of_runs_that_have_read_the_same_generation_one_moves_the_channel(
    place: Place, tmp_path: Path
):
    store = open_store(place.uri, place.credentials)
    targets = []
    for version in range(1, RUNS + 1):
        folder = write_model(tmp_path / f"m{version}", seed=version)
        publish(store, MODEL, folder, variant="v", metrics={})
        targets.append((version, tree_digest(folder)))
    answers = race(moves, place, [[target] * TURNS for target in targets])
    for turn in range(TURNS):
        told = dict(enumerate((answer[turn] for answer in answers), start=1))
        winners = [version for version, answer in told.items() if answer == "moved"]
        assert len(winners) == 1
        reason = f"run{winners[0]} moved it to version {winners[0]} (generation {turn + 1})"
        lost = [answer for answer in told.values() if answer != "moved"]
        assert all(answer.startswith("terminal") and reason in answer for answer in lost), lost
    channel = read_channel(store, MODEL, "stable")
    assert channel is not None
    assert (channel.version, channel.generation) == (winners[0], TURNS)
    # However late a stale run tries again.
    for generation in range(TURNS):
        version, digest = targets[winners[0] % RUNS]
        with pytest.raises(TerminalError, match="not at generation"):
            move_channel(
                store,
                MODEL,
                "stable",
                version=version,
                digest=digest,
                expected_generation=generation,
                moved_by="stale",
            )
    assert read_channel(store, MODEL, "stable") == channel
