from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from slipway.errors import TerminalError, TransientError
from slipway.evaluation.facts import TensorFacts
from slipway.serving.channels import move_channel, read_channel
from slipway.serving.engine import Engine, Fallback
from slipway.serving.layout import Layout, find_manifest, read_golden, resolve
from slipway.serving.ledger_changes import allocate, mark, read_ledger
from slipway.serving.publish import publish
from slipway.serving.triton import model_config
from slipway.serving.upkeep import gc
from slipway.serving.upkeep.gc import collect
from support.hand_made import MODEL, copy_by_hand, publish_some, tomorrow
from support.models import write_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from slipway.serving.publish import Published
    from slipway.storage import Store

LAYOUT = Layout(MODEL)


def point(store: Store, one: Published, generation: int = 0) -> None:
    move_channel(
        store,
        MODEL,
        "stable",
        version=one.version,
        digest=one.digest,
        expected_generation=generation,
    )


def test_the_last_versions_and_what_channels_point_to_stay(store: Store, tmp_path: Path):
    published = publish_some(store, tmp_path, 5)
    point(store, published[1])
    said: list[str] = []
    report = collect(store, MODEL, 2, progress=lambda removal: said.append(removal.path))
    assert report.kept == (5, 4, 2)
    assert report.removed_versions == (3, 1)
    assert said == ["digits/3", "digits/1"]
    assert report.freed_bytes > 40_000
    assert {i.path.split("/")[1] for i in store.list(MODEL)} == {"2", "4", "5", "_slipway"}
    for version in report.kept:
        assert read_golden(store, resolve(store, MODEL, version)) is not None
    assert store.get(LAYOUT.golden(1)) is None
    assert collect(store, MODEL, 2).removed == ()


def publish_engine(store: Store, folder: Path, fallback: Published) -> Published:
    named = Fallback(variant="lite", version=fallback.version, digest=fallback.digest)
    engine = Engine(
        backend="onnx",
        tensorrt="10.16.1",
        compute_capability="9.0",
        gpu="a GPU",
        fallback=named,
    )
    tensor = {"x": TensorFacts(dtype="float32", shape=(-1, 4))}
    return publish(
        store,
        MODEL,
        write_model(folder, seed=77),
        variant="trt",
        metrics={},
        engine=engine,
        triton_config=model_config(MODEL, "tensorrt", tensor, tensor),
    )


def test_a_fallback_stays_as_long_as_the_version_that_it_serves_for(store: Store, tmp_path: Path):
    [fallback] = publish_some(store, tmp_path, 1)
    engine = publish_engine(store, tmp_path / "engine", fallback)
    point(store, engine)
    last = publish_some(store, tmp_path, 4)[-1]
    report = collect(store, MODEL, 1)
    assert (report.kept, report.removed_versions) == ((5, 2, 1), (4, 3))
    # Whoever decided to remove it before the engines came is refused as well.
    assert not mark(store, MODEL, fallback.version, "removed")
    point(store, last, generation=1)
    report = collect(store, MODEL, 1)
    assert (report.kept, report.removed_versions) == ((5,), (2, 1))
    assert store.get(LAYOUT.triton(engine.version)) is None


def test_a_fallback_stays_while_its_engines_are_being_published(store: Store, tmp_path: Path):
    publish_some(store, tmp_path, 2)
    allocate(store, MODEL, "a" * 64, fallback=1)
    assert collect(store, MODEL, 1).removed == ()


def test_engines_do_not_name_a_fallback_that_is_removed(store: Store, tmp_path: Path):
    publish_some(store, tmp_path, 2)
    mark(store, MODEL, 1, "removed")
    with pytest.raises(TransientError, match="Version 1, the fallback of version 3, was removed"):
        allocate(store, MODEL, "a" * 64, fallback=1)
    assert set(read_ledger(store, MODEL).versions) == {1, 2}


def test_a_dry_run_touches_nothing(store: Store, tmp_path: Path):
    publish_some(store, tmp_path, 3)
    before = store.list("")
    report = collect(store, MODEL, 1, dry_run=True)
    assert report.removed_versions == (2, 1)
    assert store.list("") == before


def test_foreign_content_is_never_touched(store: Store, tmp_path: Path):
    publish_some(store, tmp_path, 2)
    copy_by_hand(store, write_model(tmp_path / "hand", seed=99), "1700000000")
    store.put(f"{MODEL}/notes/readme.txt", b"mine")
    store.put(f"{MODEL}/007/saved_model.pb", b"mine")
    report = collect(store, MODEL, 1, now=tomorrow())
    assert report.removed_versions == (1,)
    assert report.kept == (2,)
    assert len(store.list(f"{MODEL}/1700000000")) == 6
    assert store.get(f"{MODEL}/notes/readme.txt") is not None
    assert store.get(f"{MODEL}/007/saved_model.pb") is not None


def test_leftovers_of_dead_publishers_go_when_they_are_old(store: Store, tmp_path: Path):
    [published] = publish_some(store, tmp_path, 1)
    number = allocate(store, MODEL, "a" * 64).version
    copy_by_hand(store, write_model(tmp_path / "dead", seed=9), str(number))
    store.put(f"{MODEL}/_slipway/staging/7/saved_model.pb", b"half")
    store.put("_slipway_access_probe/0123", b"slipway")
    young = collect(store, MODEL, 1)
    assert young.removed == ()
    assert {one.kind for one in young.waiting} == {"uncommitted", "staging", "probe"}
    old = collect(store, MODEL, 1, now=tomorrow())
    assert {one.kind for one in old.removed} == {"uncommitted", "staging", "probe"}
    assert list(store.list(f"{MODEL}/{number}")) == []
    assert list(store.list(f"{MODEL}/_slipway/staging")) == []
    assert resolve(store, MODEL, published.version)


def test_content_whose_dead_folder_went_is_published_under_a_new_number(
    store: Store, tmp_path: Path
):
    folder = write_model(tmp_path / "m", seed=1)
    publish(store, MODEL, folder, variant="v", metrics={})
    store.delete(LAYOUT.manifest(1))
    ledger = read_ledger(store, MODEL).model_copy(
        update={
            "versions": {
                1: read_ledger(store, MODEL).versions[1].model_copy(update={"state": "allocated"})
            }
        }
    )
    store.put(LAYOUT.ledger, ledger.model_dump_json().encode())
    collect(store, MODEL, 1, now=tomorrow())
    again = publish(store, MODEL, folder, variant="v", metrics={})
    assert (again.version, again.already_published) == (2, False)


def test_a_version_that_becomes_stable_meanwhile_stays(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    published = publish_some(store, tmp_path, 3)
    real = gc.remove

    def remove_late(*arguments: Any) -> Sequence[gc.Removal]:
        point(store, published[0])
        return real(*arguments)

    monkeypatch.setattr(gc, "remove", remove_late)
    report = collect(store, MODEL, 1)
    assert (report.removed_versions, report.kept) == ((2,), (3, 1))
    assert resolve(store, MODEL, 1).digest == published[0].digest
    assert read_ledger(store, MODEL).versions[1].state == "published"


def test_nobody_points_a_channel_to_what_a_killed_retention_withdrew(store: Store, tmp_path: Path):
    published = publish_some(store, tmp_path, 2)
    mark(store, MODEL, 1, "removed")
    with pytest.raises(TerminalError, match=r"Version 1 of digits at .* was removed by retention"):
        point(store, published[0])
    assert read_channel(store, MODEL, "stable") is None


def test_a_restored_channel_takes_back_a_removal_that_was_killed(store: Store, tmp_path: Path):
    published = publish_some(store, tmp_path, 2)
    point(store, published[0])
    restored = store.get(LAYOUT.channel("stable"))
    assert restored is not None
    point(store, published[1], generation=1)
    mark(store, MODEL, 1, "removed")
    store.put(LAYOUT.channel("stable"), restored.data)
    assert collect(store, MODEL, 1).removed == ()
    assert read_ledger(store, MODEL).versions[1].state == "published"


def test_leftovers_stay_while_their_publisher_stages(store: Store, tmp_path: Path):
    """On GCS a publisher that came back writes beside the folder first."""
    publish_some(store, tmp_path, 1)
    number = allocate(store, MODEL, "a" * 64).version
    store.put(f"{MODEL}/{number}/saved_model.pb", b"half, long ago")
    between = datetime.now(UTC) + timedelta(hours=1)
    staged = f"{MODEL}/_slipway/staging/{number}/0123"
    store.put(staged, b"just now")
    info = next(one for one in store.list(MODEL) if one.path == staged)
    assert info.modified_at is not None
    report = collect(store, MODEL, 1, now=info.modified_at + gc.LEFTOVERS_OLDER_THAN)
    assert {one.kind for one in report.waiting} == {"uncommitted", "staging"}
    assert report.removed == ()
    assert collect(store, MODEL, 1, now=between + gc.LEFTOVERS_OLDER_THAN).waiting == ()
    assert store.get(staged) is None


@pytest.mark.parametrize("path", [LAYOUT.ledger, LAYOUT.channel("stable")])
def test_with_damaged_bookkeeping_nothing_goes(store: Store, tmp_path: Path, path: str):
    publish_some(store, tmp_path, 3)
    store.put(path, b"half")
    before = store.list("")
    with pytest.raises(TerminalError, match="is damaged"):
        collect(store, MODEL, 1)
    assert store.list("") == before


def test_a_version_with_a_damaged_manifest_is_left_to_a_person(store: Store, tmp_path: Path):
    publish_some(store, tmp_path, 3)
    store.put(LAYOUT.manifest(1), b"half")
    report = collect(store, MODEL, 1)
    assert report.removed_versions == (2,)
    assert store.get(LAYOUT.manifest(1)) is not None


def test_something_must_stay(store: Store):
    with pytest.raises(TerminalError, match="keep_versions is 0"):
        collect(store, MODEL, 0)


def test_nothing_is_nothing(store: Store):
    report = collect(store, MODEL, 3, leftovers_older_than=timedelta(0))
    assert (report.kept, report.removed, report.waiting) == ((), (), ())
    assert find_manifest(store, MODEL, 1) is None
