"""Which drop an object belongs to, and when it is complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.events.assets import missing_asset
from slipway.events.drops import Listener, NotADrop, look_at, missing_of
from slipway.storage import ObjectInfo
from support.planted_models import plant

if TYPE_CHECKING:
    from pathlib import Path

LISTENER = Listener(
    model="digits",
    base_uri="s3://models",
    connection="aws_default",
    incoming="s3://drops/digits",
)
WHOLE = {
    "saved_model.pb": 10,
    "variables/variables.index": 5,
    "variables/variables.data-00000-of-00002": 7,
    "variables/variables.data-00001-of-00002": 7,
    "assets/vocabulary.txt": 3,
}


@pytest.mark.parametrize("key", ["digits/a/saved_model.pb", "digits/a/variables/variables.index"])
def test_an_object_belongs_to_the_folder_directly_below_the_place(key: str) -> None:
    assert LISTENER.drop_of("s3://drops", key) == "a"


@pytest.mark.parametrize(
    ("bucket", "key"),
    [
        ("s3://drops", "iris/a/saved_model.pb"),
        ("s3://drops", "digits2/a/saved_model.pb"),
        ("s3://drops", "digits"),
        ("s3://other", "digits/a/saved_model.pb"),
        ("gs://drops", "digits/a/saved_model.pb"),
    ],
)
def test_other_models_objects_are_not_its_own(bucket: str, key: str) -> None:
    assert LISTENER.drop_of(bucket, key) is None


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("digits/.a/saved_model.pb", "hidden"),
        ("digits/a/.saved_model.pb.swp", "hidden"),
        ("digits/_temporary/0/saved_model.pb", "hidden"),
        ("digits/saved_model.pb", "beside"),
        ("digits/a/", "folder's own object"),
        ("digits/a b/saved_model.pb", "needs a name"),
        ("digits/" + "a" * 101 + "/saved_model.pb", "needs a name"),
    ],
)
def test_hidden_and_stray_files_start_nothing(key: str, reason: str) -> None:
    with pytest.raises(NotADrop, match=reason):
        LISTENER.drop_of("s3://drops", key)


def test_a_named_folder_must_lie_directly_below_the_place() -> None:
    assert LISTENER.drop_at("s3://drops/digits/a") == "a"
    for uri in (
        "s3://drops/iris/a",
        "s3://other/digits/a",
        "s3://drops/digits",
        "s3://drops/digits/a/b",
        "s3://drops/digits/../iris/a",
        "file:///etc",
    ):
        with pytest.raises(NotADrop):
            LISTENER.drop_at(uri)


def test_a_whole_saved_model_lacks_nothing() -> None:
    assert missing_of(WHOLE) is None


@pytest.mark.parametrize("path", [path for path in WHOLE if not path.startswith("assets/")])
def test_a_half_upload_lacks_what_is_not_there_yet(path: str) -> None:
    half = {name: size for name, size in WHOLE.items() if name != path}
    assert path.rpartition("/")[2] in str(missing_of(half))


@given(st.integers(1, 40), st.data())
def test_every_data_file_that_the_names_promise_must_be_there(
    count: int, data: st.DataObject
) -> None:
    there = data.draw(st.sets(st.integers(0, count - 1), min_size=1))
    files = {"saved_model.pb": 1, "variables/variables.index": 1}
    files |= {f"variables/variables.data-{n:05d}-of-{count:05d}": 1 for n in there}
    assert (missing_of(files) is None) == (len(there) == count)


def test_data_files_of_two_sets_are_no_complete_model() -> None:
    mixed = {**WHOLE, "variables/variables.data-00000-of-00001": 3}
    assert "sets of 00001 and 00002" in str(missing_of(mixed))


def test_a_marker_vouches_for_all_but_the_graph() -> None:
    assert missing_of({"saved_model.pb": 1, "_SUCCESS": 0}, "_SUCCESS") is None
    assert "_SUCCESS" in str(missing_of(WHOLE, "_SUCCESS"))
    assert "saved_model.pb" in str(missing_of({"_SUCCESS": 0}, "_SUCCESS"))


def test_a_fingerprint_changes_with_every_write_of_its_own_drop_only() -> None:
    objects = [ObjectInfo("a/saved_model.pb", 10, "1"), ObjectInfo("ab/saved_model.pb", 10, "2")]
    before = look_at(objects, "a").fingerprint
    assert (
        look_at([objects[0], ObjectInfo("ab/saved_model.pb", 10, "3")], "a").fingerprint == before
    )
    assert look_at([ObjectInfo("a/saved_model.pb", 10, "9")], "a").fingerprint != before


def test_an_asset_that_the_graph_names_must_be_there(tmp_path: Path) -> None:
    plant(tmp_path, "clean_vocabulary")
    folder = tmp_path / "clean_vocabulary"
    files = [f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()]
    [asset] = [name for name in files if name.startswith("assets/")]
    graph = (folder / "saved_model.pb").read_bytes()
    assert missing_asset(graph, files) is None
    assert missing_asset(graph, [name for name in files if name != asset]) == asset
    assert missing_asset(b"no graph at all", files) is None
