from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from slipway.content import tree_digest
from slipway.errors import TerminalError
from slipway.serving.catalog import list_versions
from slipway.serving.layout import Layout, resolve
from slipway.serving.ledger_changes import allocate, read_ledger
from slipway.serving.publish import publish
from slipway.serving.upkeep.adopt import ADOPTED, adopt
from slipway.serving.upkeep.fsck import check
from slipway.serving.upkeep.gc import collect
from support.hand_made import MODEL, copy_by_hand, publish_some, tomorrow
from support.models import write_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from slipway.storage import Store

LAYOUT = Layout(MODEL)


@pytest.fixture
def folder(store: Store, tmp_path: Path) -> Path:
    hand = write_model(tmp_path / "hand", seed=50)
    copy_by_hand(store, hand, "7")
    return hand


def test_a_folder_copied_by_hand_becomes_a_version(store: Store, folder: Path):
    seen: list[tuple[int, int]] = []
    done = adopt(store, MODEL, 7, by="jo", progress=lambda *at: seen.append(at))
    manifest = resolve(store, MODEL, 7)
    assert manifest == done.manifest
    assert manifest.digest == tree_digest(folder)
    assert [t.name for t in manifest.provenance.techniques] == [ADOPTED]
    assert manifest.provenance.run == "jo"
    assert seen[-1] == (manifest.size_bytes, manifest.size_bytes)
    assert [(i.version, i.state) for i in list_versions(store, MODEL)] == [(7, "published")]
    assert check(store, MODEL, deep=True).findings == ()


def test_its_number_and_content_are_known_from_then_on(store: Store, folder: Path, tmp_path: Path):
    adopt(store, MODEL, 7)
    assert publish(store, MODEL, folder, variant="v", metrics={}).version == 7
    other = write_model(tmp_path / "other", seed=51)
    assert publish(store, MODEL, other, variant="v", metrics={}).version == 8


def test_no_publisher_takes_the_number_of_a_folder_that_waits_for_its_adoption(
    store: Store, tmp_path: Path
):
    publish_some(store, tmp_path, 2)
    hand = write_model(tmp_path / "hand", seed=50)
    copy_by_hand(store, hand, "3")
    other = publish(store, MODEL, write_model(tmp_path / "o", seed=51), variant="v", metrics={})
    assert other.version == 4
    assert adopt(store, MODEL, 3).manifest.digest == tree_digest(hand)
    assert check(store, MODEL, deep=True).problems == ()


@pytest.mark.usefixtures("folder")
def test_adopting_again_changes_nothing(store: Store):
    first = adopt(store, MODEL, 7)
    before = store.list("")
    again = adopt(store, MODEL, 7)
    assert again.already_adopted
    assert again.manifest == first.manifest
    assert store.list("") == before


@pytest.mark.usefixtures("folder")
def test_an_adoption_killed_before_its_manifest_is_completed(store: Store):
    digest = adopt(store, MODEL, 7, dry_run=True).manifest.digest
    assert list(store.list(f"{MODEL}/_slipway")) == []
    adopt(store, MODEL, 7)
    store.delete(LAYOUT.manifest(7))
    assert not adopt(store, MODEL, 7).already_adopted
    assert read_ledger(store, MODEL).versions[7].digest == digest


@pytest.mark.usefixtures("folder")
def test_files_that_change_meanwhile_are_refused(store: Store):
    def spoil(done: int, total: int) -> None:
        if done == total:
            store.put(f"{MODEL}/7/saved_model.pb", b"other")

    with pytest.raises(TerminalError, match=r"7/saved_model\.pb changed while"):
        adopt(store, MODEL, 7, progress=spoil)
    assert store.get(LAYOUT.manifest(7)) is None
    assert read_ledger(store, MODEL).versions == {}


def before_the_manifest(
    store: Store, monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]
) -> None:
    """Lets something happen once, between the binding of the number and the manifest."""
    put = store.put

    def watched(path: str, data: bytes, **conditions: Any) -> str:
        if path == LAYOUT.manifest(7):
            monkeypatch.undo()
            happens()
        return put(path, data, **conditions)

    monkeypatch.setattr(store, "put", watched)


@pytest.mark.usefixtures("folder")
def test_retention_never_takes_a_folder_whose_adoption_was_killed(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    def die() -> None:
        raise KeyboardInterrupt

    before_the_manifest(store, monkeypatch, die)
    with pytest.raises(KeyboardInterrupt):
        adopt(store, MODEL, 7)
    before = store.list(f"{MODEL}/7")
    assert collect(store, MODEL, 1, now=tomorrow()).removed == ()
    assert store.list(f"{MODEL}/7") == before
    assert not adopt(store, MODEL, 7).already_adopted
    assert check(store, MODEL, deep=True).findings == ()


@pytest.mark.usefixtures("folder")
def test_files_that_changed_during_an_adoption_can_be_adopted_as_they_are_then(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    def spoil() -> None:
        store.put(f"{MODEL}/7/assets/vocabulary.txt", b"other")

    before_the_manifest(store, monkeypatch, spoil)
    with pytest.raises(TerminalError, match=r"vocabulary\.txt changed while"):
        adopt(store, MODEL, 7)
    assert adopt(store, MODEL, 7).manifest.version == 7
    assert check(store, MODEL, deep=True).findings == ()


def test_a_published_version_needs_no_adoption(store: Store, tmp_path: Path):
    publish_some(store, tmp_path, 1)
    with pytest.raises(TerminalError, match="was published"):
        adopt(store, MODEL, 1)


def test_a_publisher_at_work_is_not_taken_over(store: Store, folder: Path):
    number = allocate(store, MODEL, "a" * 64).version
    copy_by_hand(store, folder, str(number))
    with pytest.raises(TerminalError, match="belongs to other content"):
        adopt(store, MODEL, number)
    assert store.get(LAYOUT.manifest(number)) is None


def test_content_that_is_a_version_already_is_named(store: Store, tmp_path: Path):
    publish_some(store, tmp_path, 1)
    copy_by_hand(store, tmp_path / "m1", "9")
    with pytest.raises(TerminalError, match="Version 1 of digits has exactly this content"):
        adopt(store, MODEL, 9)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("saved_model.pb", "neither model.tflite nor saved_model.pb"),
        ("variables/variables.index", r"variables\.index is missing"),
        ("variables/variables.data-00000-of-00001", r"variables\.data-\* is missing"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_half_a_copy_is_refused(store: Store, missing: str, said: str):
    store.delete(f"{MODEL}/7/{missing}")
    with pytest.raises(TerminalError, match=said):
        adopt(store, MODEL, 7)


def test_what_only_bears_the_name_of_tflite_is_refused(store: Store):
    store.put(f"{MODEL}/7/model.tflite", b"not flatbuffers at all")
    with pytest.raises(TerminalError, match="no TFLite file"):
        adopt(store, MODEL, 7)
    store.put(f"{MODEL}/7/model.tflite", b"\x1c\0\0\0TFL3 and more")
    assert adopt(store, MODEL, 7).manifest.version == 7


def test_nothing_is_not_adopted(store: Store):
    with pytest.raises(TerminalError, match="There is no folder"):
        adopt(store, MODEL, 3)
