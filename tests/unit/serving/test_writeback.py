"""A large file is flushed while it is written; what the disk refuses is told to its writer."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from slipway.serving.writeback import FlushedFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK = bytes(range(256)) * 4096  # 1 MiB
LARGE, SMALL = 40, 3  # blocks


@pytest.fixture
def flushes() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes that the file had when its flushes began."""
    sizes: list[int] = []
    flush = os.fsync

    def watched(descriptor: int) -> None:
        sizes.append(os.fstat(descriptor).st_size)
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    return sizes


def write(path: Path, flushes: ThreadPoolExecutor, blocks: int) -> None:
    with path.open("wb") as stream, FlushedFile(stream, flushes) as file:
        for _ in range(blocks):
            file.write(BLOCK)


def test_a_large_file_is_flushed_before_it_is_whole_and_once_more_when_it_is(
    tmp_path: Path, flushes: ThreadPoolExecutor, flushed: list[int]
) -> None:
    write(tmp_path / "large", flushes, LARGE)

    assert (tmp_path / "large").read_bytes() == BLOCK * LARGE
    assert flushed[0] < LARGE * len(BLOCK)
    assert flushed[-1] == LARGE * len(BLOCK)


def test_a_small_file_is_left_to_whoever_syncs_its_folder(
    tmp_path: Path, flushes: ThreadPoolExecutor, flushed: list[int]
) -> None:
    write(tmp_path / "small", flushes, SMALL)

    assert (tmp_path / "small").read_bytes() == BLOCK * SMALL
    assert not flushed


@pytest.mark.parametrize("failing", [1, 2, 3], ids=["first", "second", "third"])
def test_what_any_flush_was_refused_is_raised(
    tmp_path: Path, flushes: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """Linux tells a failed write to one flush alone: the next one succeeds."""
    asked = 0

    def refuse_once(_: int) -> None:
        nonlocal asked
        asked += 1
        if asked == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", refuse_once)

    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write(tmp_path / "large", flushes, 3 * LARGE)


def test_a_writer_that_fails_is_heard_and_not_the_disk(
    tmp_path: Path, flushes: ThreadPoolExecutor
) -> None:
    def blocks() -> Iterator[bytes]:
        yield from [BLOCK] * LARGE
        msg = "not what was listed"
        raise ValueError(msg)

    def fill() -> None:
        with (tmp_path / "large").open("wb") as stream, FlushedFile(stream, flushes) as file:
            for block in blocks():
                file.write(block)

    with pytest.raises(ValueError, match="not what was listed"):
        fill()
