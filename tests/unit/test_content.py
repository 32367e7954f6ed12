from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.content import FileEntry, digest_of, folder_files, tree_digest
from slipway.errors import TerminalError

names = st.text("abcß-_.0", min_size=1, max_size=6).filter(lambda name: name not in {".", ".."})
trees = st.dictionaries(names, st.binary(max_size=40), min_size=1, max_size=5)


def write(folder: Path, tree: dict[str, bytes]) -> Path:
    for name, data in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_the_digest_is_the_documented_formula(tmp_path: Path):
    write(tmp_path, {"b/x": b"1", "a": b""})
    lines = "".join(
        f"{path}\0{hashlib.sha256(data).hexdigest()}\n"
        for path, data in [("a", b""), ("b/x", b"1")]
    )
    assert tree_digest(tmp_path) == hashlib.sha256(lines.encode()).hexdigest()


@settings(max_examples=40, deadline=None)
@given(trees, trees)
def test_digests_are_equal_when_the_content_is_and_only_then(
    one: dict[str, bytes], other: dict[str, bytes]
):
    with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
        same = tree_digest(write(Path(a), one)) == tree_digest(write(Path(b), other))
    assert same == (one == other)


@given(st.permutations([FileEntry(name, 1, name * 64) for name in "abc"]))
def test_order_does_not_count(files: list[FileEntry]):
    assert digest_of(files) == digest_of(sorted(files, key=lambda entry: entry.path))


def test_times_permissions_and_empty_folders_do_not_count(tmp_path: Path):
    write(tmp_path, {"a/x": b"1"})
    before = tree_digest(tmp_path)
    os.utime(tmp_path / "a" / "x", (1, 1))
    (tmp_path / "a" / "x").chmod(0o600)
    (tmp_path / "empty").mkdir()
    assert tree_digest(tmp_path) == before
    assert [entry.path for entry in folder_files(tmp_path)] == ["a/x"]


@pytest.mark.parametrize("target", ["file", "folder", "nothing"])
def test_links_are_refused_by_name(tmp_path: Path, target: str):
    write(tmp_path, {"m/file": b"1", "folder/x": b"1"})
    (tmp_path / "m" / "link").symlink_to(tmp_path / target)
    with pytest.raises(TerminalError) as caught:
        tree_digest(tmp_path / "m")
    assert caught.value.subject == str(tmp_path / "m" / "link")


def test_a_missing_folder_is_named(tmp_path: Path):
    with pytest.raises(TerminalError, match=r"no folder .*nothing"):
        tree_digest(tmp_path / "nothing")
