from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from slipway.contracts import StepRequest
from slipway.errors import TerminalError
from slipway.modelling import saved_model
from slipway.serving.layout import find_manifest
from slipway.steps import adopt, gc
from slipway.steps.base import StepContext
from slipway.storage import Store, open_store
from slipway.workspace import Workspace
from support.hand_made import MODEL, copy_by_hand, publish_some
from support.specs import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

IMPORTED = PROJECT / "include" / "models" / "breast_cancer" / "saved_model"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store((tmp_path / "published").as_uri())


def context(step: str, store: Store, folder: Path, **parameters: Any) -> StepContext:
    request = StepRequest(
        step=step,
        model=MODEL,
        config={"base_uri": store.uri, "keep_versions": 1},
        parameters=parameters,
        seed=1,
        workspace=str(folder / "workspace"),
    )
    return StepContext(request, folder, Workspace(folder / "workspace"))


def test_retention_reports_what_went_and_what_stays(store: Store, tmp_path: Path):
    publish_some(store, tmp_path, 3)
    output = gc.run(context("gc", store, tmp_path))
    assert output.details["kept"] == [3]
    assert [one["version"] for one in output.details["removed"]] == [2, 1]
    assert output.metrics["freed_bytes"] == output.details["freed_bytes"] > 0


def test_adoption_hands_on_version_and_digest(store: Store, tmp_path: Path):
    copy_by_hand(store, IMPORTED, "4")
    first = adopt.run(context("adopt", store, tmp_path, version=4, run_id="manual__1")).details
    assert (first["version"], first["already_adopted"]) == (4, False)
    assert first["uri"] == f"{store.uri}/{MODEL}/4"
    again = adopt.run(context("adopt", store, tmp_path, version=4)).details
    assert again == {**first, "already_adopted": True}


@pytest.mark.parametrize("version", [None, 0, "4"])
def test_nothing_is_adopted_by_accident(store: Store, tmp_path: Path, version: Any):
    with pytest.raises(TerminalError, match="which folder to adopt"):
        adopt.run(context("adopt", store, tmp_path, version=version))


def test_a_folder_whose_graph_could_do_harm_is_not_adopted(store: Store, tmp_path: Path):
    hand = tmp_path / "hand"
    shutil.copytree(IMPORTED, hand)
    graph = saved_model.parse(hand)
    graph.meta_graphs[0].graph_def.node.add(name="planted", op="WriteFile")
    (hand / "saved_model.pb").write_bytes(graph.SerializeToString())
    copy_by_hand(store, hand, "4")
    with pytest.raises(TerminalError, match=r"WriteFile \(node 'planted'\) writes files"):
        adopt.run(context("adopt", store, tmp_path, version=4))
    assert find_manifest(store, MODEL, 4) is None
