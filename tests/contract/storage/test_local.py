from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.storage.suite import StoreContract
from slipway.content import folder_files
from slipway.errors import TerminalError
from slipway.storage import Commit, Store, open_store
from slipway.storage.local import LocalStore


class TestLocalStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return open_store(str(tmp_path / "published"))


def test_a_uri_opens_the_folder_that_it_names(tmp_path: Path):
    store = open_store(str(tmp_path / "größe 1"))
    store.put("x", b"1")
    found = open_store(store.uri).get("x")
    assert store.uri.startswith("file:///")
    assert found is not None
    assert found.data == b"1"


def test_a_host_in_a_file_uri_is_refused():
    with pytest.raises(TerminalError, match="names a host") as caught:
        open_store("file://server/models")
    assert "three slashes" in caught.value.hint


def test_a_folder_without_the_right_to_write_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(TerminalError, match=r"Could not write .*/file/x"):
        open_store(str(tmp_path / "file")).put("x", b"")


def test_a_killed_writer_leaves_no_object(tmp_path: Path):
    store = open_store(str(tmp_path))
    store.put("x", b"old")
    child = os.fork()
    if child == 0:
        Path.replace = lambda *_: os._exit(9)  # dies between write and rename
        store.put("x", b"new")
    os.waitpid(child, 0)
    found = store.get("x")
    assert found is not None
    assert found.data == b"old"
    assert [info.path for info in store.list("")] == ["x"]
    assert store.put("x", b"new", if_match=found.etag)


def test_listing_reads_no_large_file(tmp_path: Path):
    """To read this one would take minutes: its end is a tebibyte away."""
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(1 << 40)
    (listed,) = open_store(str(tmp_path)).list("")
    assert listed.size == 1 << 40


@pytest.mark.parametrize("action", ["place", "discard"])
def test_what_killed_attempts_left_in_staging_is_cleared(tmp_path: Path, action: str):
    store = LocalStore(tmp_path / "published")
    model = tmp_path / "model"
    model.mkdir()
    (model / "saved_model.pb").write_bytes(b"graph")
    store.place(model, folder_files(model), "m/1", commit=Commit("slipway.json", b"{}"))
    staging = tmp_path / "published" / "m" / "_slipway" / "staging"
    for left in ("1.removed", "2"):
        (staging / left).mkdir()
        (staging / left / "saved_model.pb").write_bytes(b"half")
    if action == "place":
        store.place(model, folder_files(model), "m/3", commit=Commit("slipway.json", b"{}"))
    else:
        store.discard("m/1", commit="slipway.json")
    assert [child.name for child in staging.iterdir() if child.is_dir()] == []


class Careless(LocalStore):
    """Ignores conditions, as some servers do."""

    def put(
        self, path: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None
    ) -> str:
        del if_absent, if_match
        return super().put(path, data)


def test_a_store_that_ignores_conditions_is_refused(tmp_path: Path):
    with pytest.raises(TerminalError, match="ignores conditional writes"):
        Careless(tmp_path).check_access()
    assert list(LocalStore(tmp_path).list("")) == []


paths = st.sampled_from(["a", "b/1", "b/2", "c/d/e"])
steps = st.lists(st.tuples(st.sampled_from(["put", "create", "delete"]), paths, st.binary()))


@settings(max_examples=50, deadline=None)
@given(steps)
def test_behaves_like_a_dictionary(steps: list[tuple[str, str, bytes]]):
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        expected: dict[str, bytes] = {}
        for action, path, data in steps:
            if action == "delete":
                store.delete(path)
                expected.pop(path, None)
            elif action == "put" or path not in expected:
                store.put(path, data, if_absent=action == "create")
                expected[path] = data
        found = {info.path: store.get(info.path) for info in store.list("")}
        assert {path: item.data for path, item in found.items() if item} == expected
        assert store.list_folders("") == sorted({p[0] for p in expected if "/" in p})
