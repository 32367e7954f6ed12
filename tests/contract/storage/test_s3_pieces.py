"""Large S3 objects are read in pieces, at the same time; together they are the object."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from slipway.content import FileEntry, bytes_digest, digest_of
from slipway.errors import TerminalError
from slipway.serving.download import DamagedObject, download_version
from slipway.serving.layout import Manifest
from slipway.storage import open_store
from support.gateway import gateway

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.local.s3_server import S3Server
    from slipway.storage import Store

PIECE = 8 << 20
SIZES = [0, 1, PIECE, PIECE + 1, 3 * PIECE - 1]


@pytest.fixture
def store(s3_server: S3Server, s3_uri: str) -> Store:
    return open_store(s3_uri, s3_server.credentials)


def read_in_pieces(store: Store, size: int) -> bytes:
    """What the pieces of "x" hold, read last to first."""
    pieces = store.read_pieces("x", size)
    return b"".join([b"".join(piece.blocks()) for piece in reversed(pieces)][::-1])


@pytest.mark.parametrize("size", SIZES)
def test_the_pieces_are_the_object(store: Store, size: int):
    data = os.urandom(size)
    store.put("x", data)
    pieces = store.read_pieces("x", size)
    assert [piece.start for piece in pieces] == list(range(0, max(size, 1), PIECE))
    assert read_in_pieces(store, size) == data
    assert b"".join(store.read_blocks("x")) == data


@pytest.mark.parametrize("size", [0, 1, PIECE, 2 * PIECE, 2 * PIECE + 2])
def test_an_object_of_another_size_yields_another_number_of_bytes(store: Store, size: int):
    store.put("x", bytes(size))
    assert len(read_in_pieces(store, 2 * PIECE + 1)) == size


def test_an_object_costs_one_request_a_piece(s3_server: S3Server, s3_uri: str):
    with gateway(s3_server.endpoint_url) as proxy:
        credentials = s3_server.credentials.model_copy(update={"endpoint_url": proxy.url})
        store = open_store(s3_uri, credentials)
        for size, requests in ((1, 1), (PIECE, 1), (2 * PIECE, 2)):
            store.put("x", bytes(size))
            proxy.seen.clear()
            assert len(read_in_pieces(store, size)) == size
            assert [method for method, _ in proxy.seen] == ["GET"] * requests


def test_what_is_not_there_is_named(store: Store):
    for piece in store.read_pieces("nothing", 2 * PIECE):
        with pytest.raises(TerminalError, match=r"no object .*nothing"):
            next(iter(piece.blocks()))


def manifest_of(data: bytes) -> Manifest:
    files = (FileEntry("saved_model.pb", len(data), bytes_digest(data)),)
    facts = {"model": "m", "version": 1, "digest": digest_of(files), "files": files}
    return Manifest.model_validate(facts | {"variant": "v", "created_at": "2026-01-01T00:00:00Z"})


def test_a_large_file_arrives_whole_over_what_a_killed_attempt_left(store: Store, tmp_path: Path):
    data = os.urandom(2 * PIECE + 5)
    store.put("m/1/saved_model.pb", data)
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1/saved_model.pb.partial").write_bytes(bytes(len(data) + 1))
    received: list[int] = []
    download_version(store, manifest_of(data), tmp_path / "v1", received=received.append)
    assert (tmp_path / "v1/saved_model.pb").read_bytes() == data
    assert sum(received) == len(data)
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("damage", ["flipped", "truncated", "longer", "empty"])
def test_a_damaged_large_object_is_refused(store: Store, tmp_path: Path, damage: str):
    data = os.urandom(2 * PIECE + 5)
    wrong = {
        "flipped": data[: PIECE + 7] + bytes([data[PIECE + 7] ^ 1]) + data[PIECE + 8 :],
        "truncated": data[: PIECE + 7],
        "longer": data + b"x",
        "empty": b"",
    }
    store.put("m/1/saved_model.pb", wrong[damage])
    with pytest.raises(DamagedObject, match="saved_model"):
        download_version(store, manifest_of(data), tmp_path / "v1")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
