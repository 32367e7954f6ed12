"""What every store must do: subclass it and give it a `store` fixture with an empty store."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from slipway.content import bytes_digest, folder_files
from slipway.errors import TerminalError
from slipway.storage import Commit, PreconditionFailed, Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COMMIT = Commit("slipway.json", b"{}")
MORE_THAN_A_PART = 9 << 20


def together(count: int, action: Callable[[int], bool]) -> int:
    """Runs the action at once in so many threads; counts how often it said yes."""
    gate = threading.Barrier(count)

    def enter(index: int) -> bool:
        gate.wait(10)
        return action(index)

    with ThreadPoolExecutor(count) as pool:
        return sum(pool.map(enter, range(count)))


class StoreContract:
    """Inherit it, override `store`."""

    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError

    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        folder = tmp_path / "model"
        (folder / "variables").mkdir(parents=True)
        (folder / "saved_model.pb").write_bytes(b"graph")
        (folder / "variables" / "index").write_bytes(b"index")
        (folder / "variables" / "data").write_bytes(os.urandom(MORE_THAN_A_PART))
        return folder

    def test_reads_back_what_was_written(self, store: Store):
        for data in (b"one", b"", b"three"):
            etag = store.put("a/b.json", data)
            found = store.get("a/b.json")
            assert found is not None
            assert (found.data, found.etag) == (data, etag)

    def test_what_is_not_there_is_none(self, store: Store):
        store.put("a/b/c", b"")
        assert store.get("nothing") is None
        assert store.get("a/b") is None
        assert store.get("a/b/c/d") is None

    @pytest.mark.parametrize("size", [1, 2 << 20], ids=["small", "large"])
    def test_the_etag_changes_with_the_content(self, store: Store, size: int):
        assert store.put("x", b"1" * size) != store.put("x", b"2" * size)

    def test_a_large_object_is_read_listed_and_replaced_by_its_etag(self, store: Store):
        seen = store.put("x", b"1" * (2 << 20))
        found = store.get("x")
        assert found is not None
        assert [found.etag, *(info.etag for info in store.list(""))] == [seen, seen]
        store.put("x", b"2" * (2 << 20), if_match=seen)
        with pytest.raises(PreconditionFailed):
            store.put("x", b"3" * (2 << 20), if_match=seen)

    def test_if_absent_never_overwrites(self, store: Store):
        store.put("x", b"first", if_absent=True)
        with pytest.raises(PreconditionFailed, match="x"):
            store.put("x", b"second", if_absent=True)
        found = store.get("x")
        assert found is not None
        assert found.data == b"first"

    def test_if_match_writes_only_over_what_was_seen(self, store: Store):
        seen = store.put("x", b"1")
        newer = store.put("x", b"2", if_match=seen)
        with pytest.raises(PreconditionFailed):
            store.put("x", b"3", if_match=seen)
        store.put("x", b"4", if_match=newer)
        found = store.get("x")
        assert found is not None
        assert found.data == b"4"

    def test_if_match_never_creates(self, store: Store):
        seen = store.put("x", b"1")
        store.delete("x")
        with pytest.raises(PreconditionFailed):
            store.put("x", b"2", if_match=seen)
        assert store.get("x") is None

    @pytest.mark.parametrize("seeded", [True, False], ids=["if_match", "if_absent"])
    def test_of_many_conditional_writers_one_wins(self, store: Store, seeded: bool):
        for turn in range(5):
            path = f"race/{turn}"
            seen = store.put(path, b"seed") if seeded else None

            def write(index: int, path: str = path, seen: str | None = seen) -> bool:
                try:
                    store.put(path, b"%d" % index, if_match=seen, if_absent=not seen)
                except PreconditionFailed:
                    return False
                return True

            assert together(4, write) == 1

    def test_lists_what_lies_below_a_folder(self, store: Store):
        etags = {path: store.put(path, path.encode()) for path in ("m/b/2", "m/a", "mm/c", "d")}
        infos = store.list("m")
        assert [(info.path, info.size, info.etag) for info in infos] == [
            ("m/a", 3, etags["m/a"]),
            ("m/b/2", 5, etags["m/b/2"]),
        ]
        assert [info.path for info in store.list("")] == ["d", "m/a", "m/b/2", "mm/c"]
        assert list(store.list("nothing")) == []

    def test_names_the_folders_below_a_folder(self, store: Store):
        for path in ("m/10/a/b", "m/2/x", "m/_slipway/y", "m/file"):
            store.put(path, b"")
        assert store.list_folders("m") == ["10", "2", "_slipway"]
        assert store.list_folders("") == ["m"]
        assert list(store.list_folders("nothing")) == []

    def test_a_deleted_object_is_gone(self, store: Store):
        store.put("m/1/x", b"")
        for _ in range(2):
            store.delete("m/1/x")
            assert store.get("m/1/x") is None
            assert list(store.list("")) == []

    @pytest.mark.parametrize("name", ["with space", "größe", "a+b%20c#d&e=f", "x.y-z_0~"])
    def test_names_mean_themselves(self, store: Store, name: str):
        store.put(f"{name}/{name}", b"1")
        assert store.list_folders("") == [name]
        assert [info.path for info in store.list(name)] == [f"{name}/{name}"]
        assert store.get(f"{name}/{name}") is not None

    @pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", "a//b", "./a", "a\\b", "a\0b"])
    def test_no_path_leads_out_of_the_store(self, store: Store, path: str):
        with pytest.raises(TerminalError, match="not a path inside a store"):
            store.put(path, b"")
        with pytest.raises(TerminalError, match="not a path inside a store"):
            store.get(path)

    def test_large_files_go_up_and_down(self, store: Store, tmp_path: Path):
        source = tmp_path / "source"
        source.write_bytes(os.urandom(MORE_THAN_A_PART))
        store.upload(source, "edge/large")
        store.download("edge/large", tmp_path / "deep" / "copy")
        assert (tmp_path / "deep" / "copy").read_bytes() == source.read_bytes()

    def test_a_failed_download_leaves_nothing(self, store: Store, tmp_path: Path):
        with pytest.raises(TerminalError, match="no object"):
            store.download("nothing", tmp_path / "into" / "copy")
        assert not [path for path in (tmp_path / "into").rglob("*") if path.is_file()]

    def test_places_a_folder_with_its_commit(self, store: Store, model: Path):
        arrived: list[int] = []
        files = folder_files(model)
        store.place(
            model, files, "m/1", last=["saved_model.pb"], commit=COMMIT, progress=arrived.append
        )
        placed = {info.path: info.size for info in store.list("m/1")}
        assert placed == {f"m/1/{entry.path}": entry.size for entry in files} | {
            "m/1/slipway.json": 2
        }
        assert sum(arrived) == sum(entry.size for entry in files)
        for entry in files:
            found = store.get(f"m/1/{entry.path}")
            assert found is not None
            assert bytes_digest(found.data) == entry.sha256

    def test_a_committed_folder_is_never_placed_again(self, store: Store, model: Path):
        store.place(model, folder_files(model), "m/1", commit=COMMIT)
        before = store.list("m/1")
        (model / "saved_model.pb").write_bytes(b"other")
        with pytest.raises(PreconditionFailed):
            store.place(model, folder_files(model), "m/1", commit=COMMIT)
        assert store.list("m/1") == before

    def test_what_a_killed_attempt_left_is_overwritten(self, store: Store, model: Path):
        store.put("m/1/variables/data", b"half")
        store.place(model, folder_files(model), "m/1", commit=COMMIT)
        found = store.get("m/1/variables/data")
        assert found is not None
        assert found.data == (model / "variables" / "data").read_bytes()

    @pytest.mark.parametrize("name", ["saved_model.pb", "variables/data"])
    def test_a_file_that_changed_is_never_committed(self, store: Store, model: Path, name: str):
        files = folder_files(model)
        changed = bytearray((model / name).read_bytes())
        changed[-1] ^= 1
        (model / name).write_bytes(changed)
        with pytest.raises(TerminalError, match="changed or vanished") as caught:
            store.place(model, files, "m/1", last=["saved_model.pb"], commit=COMMIT)
        assert caught.value.subject == str(model / name)
        assert store.get("m/1/slipway.json") is None
        assert store.get(f"m/1/{name}") is None
        # It comes last: a server that reads the folder never takes half a model for a whole one.
        assert store.get("m/1/saved_model.pb") is None

    def test_a_file_that_vanished_is_never_committed(self, store: Store, model: Path):
        files = folder_files(model)
        (model / "variables" / "index").unlink()
        with pytest.raises(TerminalError, match="variables/index changed or vanished"):
            store.place(model, files, "m/1", last=["saved_model.pb"], commit=COMMIT)
        assert store.get("m/1/slipway.json") is None
        assert store.get("m/1/saved_model.pb") is None

    def test_discards_a_folder(self, store: Store, model: Path):
        store.put("m/_slipway/ledger.json", b"{}")
        store.place(model, folder_files(model), "m/1", commit=COMMIT)
        for _ in range(2):
            store.discard("m/1", commit="slipway.json")
            assert [info.path for info in store.list("")] == ["m/_slipway/ledger.json"]

    def test_discards_what_a_server_looks_for_before_the_rest(
        self, store: Store, model: Path, monkeypatch: pytest.MonkeyPatch
    ):
        store.place(model, folder_files(model), "m/1", commit=COMMIT)
        deleted: list[str] = []
        delete = store.delete
        monkeypatch.setattr(store, "delete", lambda path: (deleted.append(path), delete(path)))
        store.discard("m/1", commit="slipway.json", first=["model.tflite", "saved_model.pb"])
        assert list(store.list("m/1")) == []
        # A local folder goes as one, without a single delete.
        assert deleted[:2] in ([], ["m/1/slipway.json", "m/1/saved_model.pb"])

    def test_proving_access_leaves_nothing(self, store: Store):
        store.check_access()
        assert list(store.list("")) == []

    def test_counts_what_it_was_asked(self, store: Store):
        before = store.requests
        store.put("x", b"")
        store.get("x")
        assert store.requests == before + 2
