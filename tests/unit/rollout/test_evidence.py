from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import TerminalError
from slipway.rollout.evidence import Evidence
from slipway.serving.layout import Layout
from slipway.storage import Store, open_store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def test_every_step_adds_its_part(store: Store) -> None:
    Evidence(store, "digits", 3, "run-1").add("deploy", versions=[2, 3])
    evidence = Evidence(store, "digits", 3, "run-1")
    evidence.add("probe", metrics={"probe_requests": 40})
    evidence.add("probe", metrics={"probe_requests": 41})
    document = evidence.read()
    assert (document["model"], document["version"], document["rollout_id"]) == (
        "digits",
        3,
        "run-1",
    )
    assert [step["step"] for step in document["steps"]] == ["deploy", "probe", "probe"]
    assert document["steps"][2]["metrics"] == {"probe_requests": 41}


def test_parts_that_are_added_at_once_are_all_kept(store: Store) -> None:
    def add(number: int) -> None:
        Evidence(store, "digits", 3, "run").add("probe", number=number)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    steps = Evidence(store, "digits", 3, "run").read()["steps"]
    assert sorted(step["number"] for step in steps) == [0, 1, 2, 3, 4]


@settings(deadline=None)
@given(st.text(min_size=1))
def test_any_run_id_gives_a_path_of_its_own_folder(run_id: str) -> None:
    evidence = Evidence(open_store("nowhere"), "digits", 3, run_id)
    folder, _, name = evidence.path.rpartition("/")
    assert folder == Layout("digits").rollouts(3)
    assert name.endswith(".json")
    assert not name.startswith(".")


def test_ids_that_differ_only_in_what_a_path_cannot_hold_are_kept_apart(store: Store) -> None:
    paths = {Evidence(store, "digits", 3, run).path for run in ("a+b", "a:b", "a-b", "a/b")}
    assert len(paths) == 4


def test_damaged_evidence_is_named(store: Store) -> None:
    evidence = Evidence(store, "digits", 3, "run")
    store.put(evidence.path, b"{")
    with pytest.raises(TerminalError, match="damaged"):
        evidence.add("probe")
