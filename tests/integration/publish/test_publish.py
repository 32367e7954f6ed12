from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from slipway.content import digest_of, folder_files, tree_digest
from slipway.errors import TerminalError
from slipway.serving.catalog import list_versions, retain
from slipway.serving.channels import move_channel, read_channel
from slipway.serving.layout import Layout, Provenance, Technique, read_golden, resolve
from slipway.serving.ledger_changes import mark, read_ledger
from slipway.serving.publish import Published, publish
from support.models import write_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from slipway.storage import Store

LAYOUT = Layout("digits")
MORE_THAN_AT_ONCE = 10


def put(store: Store, folder: Path) -> Published:
    return publish(store, "digits", folder, variant="pruned", metrics={"accuracy": 0.97})


def put_several(store: Store, tmp_path: Path, count: int) -> list[Published]:
    return [put(store, write_model(tmp_path / f"m{n}", seed=n)) for n in range(count)]


def test_a_version_lies_as_servers_expect_it(store: Store, tmp_path: Path):
    folder = write_model(tmp_path / "m", seed=1)
    published = put(store, folder)
    names = {info.path for info in store.list("digits/1")}
    assert names == {f"digits/1/{e.path}" for e in folder_files(folder)} | {"digits/1/slipway.json"}
    assert (published.version, published.already_published) == (1, False)
    assert published.uri == f"{store.uri}/digits/1"
    assert published.uploaded_bytes == sum(e.size for e in folder_files(folder))


def test_the_manifest_says_what_it_is_and_where_it_came_from(store: Store, tmp_path: Path):
    folder = write_model(tmp_path / "m", seed=1)
    provenance = Provenance(
        techniques=(Technique(name="prune", config={"sparsity": 0.8}),),
        source_digest="a" * 64,
        run="manual__1",
        frameworks={"tensorflow": "2.21.0"},
    )
    publish(
        store,
        "digits",
        folder,
        variant="pruned",
        metrics={"accuracy": 0.97},
        provenance=provenance,
        golden=b'{"requests": []}',
    )
    manifest = resolve(store, "digits", 1)
    assert list(manifest.files) == folder_files(folder)
    assert manifest.digest == tree_digest(folder)
    assert (manifest.variant, manifest.metrics) == ("pruned", {"accuracy": 0.97})
    assert manifest.provenance == provenance
    assert read_golden(store, manifest) == b'{"requests": []}'
    store.put(LAYOUT.golden(1), b"other")
    with pytest.raises(TerminalError, match="not what was published"):
        read_golden(store, manifest)


def test_publishing_again_uploads_nothing_and_says_so(store: Store, tmp_path: Path):
    folder = write_model(tmp_path / "m", seed=1)
    first = put(store, folder)
    before = store.list("")
    second = put(store, folder)
    assert (second.version, second.digest) == (first.version, first.digest)
    assert second.already_published
    assert second.uploaded_bytes == 0
    assert second.requests <= 3
    assert store.list("") == before


def test_other_content_is_another_version(store: Store, tmp_path: Path):
    assert [p.version for p in put_several(store, tmp_path, 3)] == [1, 2, 3]


def test_progress_ends_at_the_total(store: Store, tmp_path: Path):
    folder = write_model(tmp_path / "m", seed=1)
    seen: list[tuple[int, int]] = []
    publish(store, "digits", folder, variant="v", metrics={}, progress=lambda *at: seen.append(at))
    total = sum(e.size for e in folder_files(folder))
    assert seen == sorted(seen)
    assert seen[-1] == (total, total)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda file: file.write_bytes(b"another length"), "has 14 bytes and had"),
        (lambda file: file.unlink(), "is gone"),
        (lambda file: file.with_name("other.pb").write_bytes(b""), "other.pb is new"),
    ],
    ids=["changed", "gone", "new"],
)
def test_what_is_not_what_was_validated_is_refused_before_anything_is_written(
    store: Store, tmp_path: Path, change: Callable[[Path], object], named: str
):
    folder = write_model(tmp_path / "m", seed=1)
    validated = folder_files(folder)
    change(folder / "fingerprint.pb")
    with pytest.raises(TerminalError, match=named):
        publish(store, "digits", folder, variant="v", metrics={}, files=validated)
    assert list(store.list("")) == []


def test_a_file_that_was_changed_since_its_validation_makes_no_version(
    store: Store, tmp_path: Path
):
    folder = write_model(tmp_path / "m", seed=1)
    validated = folder_files(folder)
    file = folder / "fingerprint.pb"
    validated_bytes = file.read_bytes()
    file.write_bytes(bytes(byte ^ 1 for byte in validated_bytes))
    with pytest.raises(TerminalError, match=r"fingerprint\.pb changed or vanished"):
        publish(store, "digits", folder, variant="v", metrics={}, files=validated)
    assert [info.state for info in list_versions(store, "digits")] == ["allocated"]
    file.write_bytes(validated_bytes)
    assert publish(
        store, "digits", folder, variant="v", metrics={}, files=validated
    ).digest == digest_of(validated)


def test_a_metric_that_was_not_measured_is_refused(store: Store, tmp_path: Path):
    folder = write_model(tmp_path / "m", seed=1)
    with pytest.raises(TerminalError, match="accuracy is nan"):
        publish(store, "digits", folder, variant="v", metrics={"accuracy": float("nan")})
    assert list(store.list("")) == []


def test_a_folder_that_no_server_could_load_is_refused(store: Store, tmp_path: Path):
    folder = write_model(tmp_path / "m", seed=1)
    (folder / "saved_model.pb").unlink()
    with pytest.raises(TerminalError, match=r"neither model\.tflite nor saved_model\.pb"):
        put(store, folder)


def test_a_folder_with_a_link_is_refused(store: Store, tmp_path: Path):
    folder = write_model(tmp_path / "m", seed=1)
    (folder / "assets" / "link").symlink_to(folder / "saved_model.pb")
    with pytest.raises(TerminalError, match="assets/link is a link"):
        put(store, folder)


def test_a_copy_of_a_published_version_is_refused(store: Store, tmp_path: Path):
    folder = write_model(tmp_path / "m", seed=1)
    (folder / "slipway.json").write_text("{}")
    with pytest.raises(TerminalError, match="name of the manifest"):
        put(store, folder)


def test_a_file_that_changes_meanwhile_is_never_published(store: Store, tmp_path: Path):
    folder = write_model(tmp_path / "m", seed=1, data_bytes=9 << 20)
    for index in range(MORE_THAN_AT_ONCE):  # they go before the others
        (folder / "assets" / f"{index}").write_bytes(b"%d" % index)
    weights = folder / "variables" / "variables.data-00000-of-00001"
    good = weights.read_bytes()

    def spoil(sent: int, total: int) -> None:
        if sent < total:
            weights.write_bytes(b"spoilt")
            (folder / "saved_model.pb").write_bytes(b"spoilt")

    with pytest.raises(TerminalError, match="changed or vanished"):
        publish(store, "digits", folder, variant="v", metrics={}, progress=spoil)
    assert store.get(LAYOUT.manifest(1)) is None
    assert [info.state for info in list_versions(store, "digits")] == ["allocated"]
    assert weights.read_bytes() != good
    write_model(folder, seed=1, data_bytes=9 << 20)
    assert put(store, folder).version == 1


@pytest.mark.parametrize("same", [True, False], ids=["same content", "other content"])
def test_concurrent_publishers_agree_on_the_numbers(store: Store, tmp_path: Path, same: bool):
    count = 4
    folders = [write_model(tmp_path / f"m{n}", seed=1 if same else n) for n in range(count)]
    gate = threading.Barrier(count)

    def enter(folder: Path) -> Published:
        gate.wait(10)
        return put(store, folder)

    with ThreadPoolExecutor(count) as pool:
        published = list(pool.map(enter, folders))
    versions = sorted({p.version for p in published})
    assert versions == ([1] if same else [1, 2, 3, 4])
    assert sum(not p.already_published for p in published) == len(versions)
    for one in published:
        assert resolve(store, "digits", one.version).digest == one.digest
    assert [info.state for info in list_versions(store, "digits")] == ["published"] * len(versions)


def test_a_folder_with_other_content_than_its_number_was_bound_to_is_named(
    store: Store, tmp_path: Path
):
    first = put(store, write_model(tmp_path / "m", seed=1))
    second = put(store, write_model(tmp_path / "other", seed=2))
    manifest = resolve(store, "digits", 2).model_copy(update={"version": 1})
    store.put(LAYOUT.manifest(1), manifest.to_bytes())
    with pytest.raises(TerminalError, match="was allocated for") as caught:
        put(store, tmp_path / "m")
    assert first.digest[:12] in caught.value.message
    assert second.digest[:12] in caught.value.message


def test_a_lost_ledger_reuses_no_number(store: Store, tmp_path: Path):
    put_several(store, tmp_path, 2)
    store.delete(LAYOUT.ledger)
    assert put(store, write_model(tmp_path / "new", seed=9)).version == 3


def test_retention_keeps_the_newest_and_what_channels_point_to(store: Store, tmp_path: Path):
    published = put_several(store, tmp_path, 5)
    move_channel(
        store, "digits", "stable", version=2, digest=published[1].digest, expected_generation=0
    )
    assert retain(store, "digits", 2) == [3, 1]
    assert [(i.version, i.channels) for i in list_versions(store, "digits")] == [
        (5, ()),
        (4, ()),
        (2, ("stable",)),
    ]
    assert list(store.list("digits/1")) == []
    assert retain(store, "digits", 2) == []
    with pytest.raises(TerminalError, match="no version 1"):
        resolve(store, "digits", 1)


def test_content_that_was_removed_comes_back_under_a_new_number(store: Store, tmp_path: Path):
    put_several(store, tmp_path, 2)
    retain(store, "digits", 1)
    assert put(store, tmp_path / "m0").version == 3


def test_a_killed_retention_is_completed_by_the_next(store: Store, tmp_path: Path):
    put_several(store, tmp_path, 2)
    mark(store, "digits", 1, "removed")
    store.delete(LAYOUT.manifest(1))
    assert [info.version for info in list_versions(store, "digits")] == [2]
    assert retain(store, "digits", 5) == []
    assert list(store.list("digits/1")) == []
    assert resolve(store, "digits", 2).version == 2


def test_retention_of_nothing_is_refused(store: Store):
    with pytest.raises(TerminalError, match="keep_versions is 0"):
        retain(store, "digits", 0)


def test_of_two_who_move_a_channel_at_once_one_wins_and_the_other_learns_who(
    store: Store, tmp_path: Path
):
    published = put_several(store, tmp_path, 2)
    gate = threading.Barrier(2)

    def move(one: Published) -> str:
        gate.wait(10)
        try:
            move_channel(
                store,
                "digits",
                "stable",
                version=one.version,
                digest=one.digest,
                expected_generation=0,
                moved_by=f"run{one.version}",
            )
        except TerminalError as error:
            return error.message
        return ""

    with ThreadPoolExecutor(2) as pool:
        answers = dict(zip((1, 2), pool.map(move, published), strict=True))
    channel = read_channel(store, "digits", "stable")
    assert channel is not None
    winner = channel.version
    assert winner is not None
    assert answers.pop(winner) == ""
    assert f"run{winner} moved it to version {winner}" in answers.popitem()[1]


def test_the_ledger_remembers_every_version(store: Store, tmp_path: Path):
    published = put_several(store, tmp_path, 3)
    retain(store, "digits", 1)
    ledger = read_ledger(store, "digits")
    assert ledger.next_version == 4
    assert {v: (e.digest, e.state) for v, e in ledger.versions.items()} == {
        1: (published[0].digest, "removed"),
        2: (published[1].digest, "removed"),
        3: (published[2].digest, "published"),
    }


@pytest.mark.parametrize("name", ["a\\b", "a\nb"])
def test_a_name_that_no_follower_could_have_is_refused_before_a_number_is_bound(
    store: Store, tmp_path: Path, name: str
):
    folder = write_model(tmp_path / "m", seed=1)
    (folder / name).write_text("odd")
    with pytest.raises(TerminalError, match="is not a path inside a store"):
        put(store, folder)
    assert read_ledger(store, "digits").versions == {}
