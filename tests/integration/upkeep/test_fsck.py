from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slipway.errors import TerminalError
from slipway.serving.channels import move_channel
from slipway.serving.layout import Layout, resolve
from slipway.serving.ledger_changes import allocate, mark, read_ledger
from slipway.serving.upkeep.findings import KINDS
from slipway.serving.upkeep.fsck import check
from slipway.serving.upkeep.repair import _MENDS, repair
from support.hand_made import MODEL, copy_by_hand, publish_some
from support.models import write_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from slipway.serving.ledger import Ledger
    from slipway.storage import Store

LAYOUT = Layout(MODEL)


def rewrite(store: Store, change: Callable[[Ledger], Ledger]) -> None:
    store.put(LAYOUT.ledger, change(read_ledger(store, MODEL)).model_dump_json().encode())


def unbind(store: Store) -> None:
    def change(ledger: Ledger) -> Ledger:
        return ledger.model_copy(update={"versions": {2: ledger.versions[2]}})

    rewrite(store, change)


def copy_over(store: Store) -> None:
    manifest = resolve(store, MODEL, 2).model_copy(update={"version": 1})
    store.put(LAYOUT.manifest(1), manifest.to_bytes())


def unmark(store: Store) -> None:
    rewrite(store, lambda ledger: ledger.marked(1, "allocated"))


def count_from_one(store: Store) -> None:
    rewrite(store, lambda ledger: ledger.model_copy(update={"next_version": 1}))


def die_publishing(store: Store) -> None:
    store.put(f"{MODEL}/{allocate(store, MODEL, 'a' * 64).version}/saved_model.pb", b"half")


def die_removing(store: Store) -> None:
    mark(store, MODEL, 1, "removed")
    store.delete(LAYOUT.manifest(1))


def lose(store: Store) -> None:
    store.discard(f"{MODEL}/1", commit="slipway.json")


def point_then_lose(store: Store) -> None:
    digest = resolve(store, MODEL, 1).digest
    move_channel(store, MODEL, "stable", version=1, digest=digest, expected_generation=0)
    lose(store)


def point_then_copy_over(store: Store) -> None:
    digest = resolve(store, MODEL, 1).digest
    move_channel(store, MODEL, "stable", version=1, digest=digest, expected_generation=0)
    copy_over(store)


def forget_golden(store: Store) -> None:
    mark(store, MODEL, 1, "removed")
    lose(store)


def writes(path: str, data: bytes = b"other") -> Callable[[Store], None]:
    def change(store: Store) -> None:
        store.put(path, data)

    return change


def deletes(path: str) -> Callable[[Store], None]:
    def change(store: Store) -> None:
        store.delete(path)

    return change


BROKEN: dict[str, tuple[Callable[[Store], None], bool]] = {
    "damaged_ledger": (writes(LAYOUT.ledger), False),
    "damaged_channel": (writes(LAYOUT.channel("stable")), False),
    "damaged_manifest": (writes(LAYOUT.manifest(1)), False),
    "torn_version": (deletes(f"{MODEL}/1/variables/variables.index"), False),
    "unexpected_file": (writes(f"{MODEL}/1/.DS_Store"), False),
    "lost_version": (lose, True),
    "foreign_version": (writes(f"{MODEL}/1700000000/saved_model.pb"), False),
    "uncommitted_folder": (die_publishing, False),
    "removed_remains": (die_removing, True),
    "unbound_version": (unbind, True),
    "ledger_disagrees": (copy_over, False),
    "unmarked_version": (unmark, True),
    "number_taken": (count_from_one, True),
    "channel_without_version": (point_then_lose, False),
    "channel_disagrees": (point_then_copy_over, False),
    "missing_golden": (deletes(LAYOUT.golden(1)), False),
    "orphaned_golden": (forget_golden, True),
    "staging": (writes(f"{MODEL}/_slipway/staging/3/saved_model.pb"), False),
    "foreign_number": (writes(f"{MODEL}/007/saved_model.pb"), False),
    "foreign_object": (writes(f"{MODEL}/notes/readme.txt"), False),
}


def test_what_is_well_has_no_findings(store: Store, tmp_path: Path):
    publish_some(store, tmp_path, 2)
    seen: list[tuple[int, int]] = []
    report = check(store, MODEL, deep=True, progress=lambda *at: seen.append(at))
    assert (report.findings, report.versions) == ((), 2)
    size = sum(resolve(store, MODEL, version).size_bytes for version in (1, 2))
    assert report.read_bytes == size
    assert seen[-1] == (size, size)


def test_a_mistyped_model_is_no_proof_that_all_is_well(store: Store):
    with pytest.raises(TerminalError, match="there is nothing of digitz at"):
        check(store, "digitz")


@pytest.mark.parametrize("kind", BROKEN)
def test_each_kind_is_found_and_what_is_safe_is_mended(store: Store, tmp_path: Path, kind: str):
    publish_some(store, tmp_path, 2)
    spoil, safe = BROKEN[kind]
    spoil(store)
    before = store.list("")
    report = check(store, MODEL)
    assert store.list("") == before
    [one] = [found for found in report.findings if found.kind == kind]
    assert (one.severity, one.means) == (KINDS[kind].severity, KINDS[kind].means)
    mended = repair(store, report)
    [after] = [found for found in mended.findings if found.kind == kind]
    assert after.repaired == safe
    assert safe or after.left
    again = check(store, MODEL)
    assert (kind in {found.kind for found in again.findings}) != safe
    assert resolve(store, MODEL, 2)


def test_every_kind_is_tried_here():
    assert set(BROKEN) | {"corrupted_file"} == set(KINDS)
    assert {kind for kind, entry in KINDS.items() if entry.mends} == set(_MENDS)
    assert {kind for kind, (_, safe) in BROKEN.items() if safe} == set(_MENDS)


def test_a_manifest_of_other_files_than_its_digest_says_is_found(store: Store, tmp_path: Path):
    publish_some(store, tmp_path, 1)
    manifest = resolve(store, MODEL, 1)
    borrowed = manifest.model_copy(update={"files": manifest.files[:-1]})
    store.put(LAYOUT.manifest(1), borrowed.to_bytes())
    found = {one.kind: one.what for one in check(store, MODEL).findings}
    assert "damaged_manifest" in found
    assert manifest.digest[:12] in found["damaged_manifest"]


def test_only_a_deep_look_sees_bytes_that_changed(store: Store, tmp_path: Path):
    publish_some(store, tmp_path, 1)
    size = resolve(store, MODEL, 1).files[-1]
    store.put(f"{MODEL}/1/{size.path}", b"x" * size.size)
    assert check(store, MODEL).findings == ()
    [one] = check(store, MODEL, deep=True).findings
    assert (one.kind, one.path) == ("corrupted_file", f"{MODEL}/1/{size.path}")


@pytest.mark.parametrize("kind", ["torn_version", "corrupted_file"])
def test_what_is_torn_or_corrupted_is_healed_as_its_finding_says(
    store: Store, tmp_path: Path, kind: str
):
    publish_some(store, tmp_path, 2)
    path = f"{MODEL}/1/variables/variables.index"
    if kind == "torn_version":
        store.delete(path)
    else:
        store.put(path, b"x" * 300)
    [one] = check(store, MODEL, deep=True).findings
    assert one.kind == kind
    store.delete(LAYOUT.manifest(1))
    assert publish_some(store, tmp_path, 1)[0].version == 1
    assert check(store, MODEL, deep=True).findings == ()


def test_a_publisher_at_work_is_no_problem(store: Store, tmp_path: Path):
    publish_some(store, tmp_path, 1)
    die_publishing(store)
    report = check(store, MODEL)
    assert [one.kind for one in report.findings] == ["uncommitted_folder"]
    assert report.problems == ()


def test_what_a_channel_points_to_is_not_forgotten(store: Store, tmp_path: Path):
    publish_some(store, tmp_path, 2)
    point_then_lose(store)
    report = repair(store, check(store, MODEL))
    [one] = [found for found in report.findings if found.kind == "lost_version"]
    assert (one.repaired, one.left) == (False, "a channel points to it")
    assert report.problems


def test_a_lost_ledger_is_made_again(store: Store, tmp_path: Path):
    publish_some(store, tmp_path, 3)
    store.delete(LAYOUT.ledger)
    copy_by_hand(store, write_model(tmp_path / "hand", seed=70), "9")
    report = repair(store, check(store, MODEL))
    assert {one.version for one in report.findings if one.repaired} == {1, 2, 3}
    assert [one.kind for one in report.problems] == ["foreign_version"]
    assert allocate(store, MODEL, "b" * 64).version == 10
