"""S3 objects are read in parts: several requests at once, the bytes in order."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from slipway.errors import SlipwayError, TerminalError
from slipway.storage import open_store
from slipway.storage.s3_reading import PART_BYTES
from support.gateway import gateway

if TYPE_CHECKING:
    from slipway.local.s3_server import S3Server
    from slipway.storage import Store


@pytest.fixture
def store(s3_server: S3Server, s3_uri: str) -> Store:
    return open_store(s3_uri, s3_server.credentials)


@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 5 * PART_BYTES])
def test_the_blocks_are_the_object(store: Store, size: int):
    data = os.urandom(size)
    store.put("x", data)
    assert b"".join(store.read_blocks("x")) == data


def test_a_large_object_takes_one_request_a_part_and_a_small_one_takes_one(
    s3_server: S3Server, s3_uri: str
):
    with gateway(s3_server.endpoint_url) as proxy:
        credentials = s3_server.credentials.model_copy(update={"endpoint_url": proxy.url})
        store = open_store(s3_uri, credentials)
        for size, requests in ((1, 1), (4 * PART_BYTES, 4)):
            store.put("x", bytes(size))
            proxy.seen.clear()
            assert sum(map(len, store.read_blocks("x"))) == size
            assert [method for method, _ in proxy.seen] == ["GET"] * requests


def test_an_object_that_is_replaced_while_it_is_read_is_never_mixed(store: Store):
    store.put("x", b"a" * (6 * PART_BYTES))
    blocks = store.read_blocks("x")
    seen = {bytes(next(blocks)[:1])}
    store.put("x", b"b" * (6 * PART_BYTES))
    with pytest.raises(SlipwayError, match="x"):
        seen.update(bytes(block[:1]) for block in blocks)
    assert seen == {b"a"}


def test_a_reader_that_stops_early_leaves_no_thread(store: Store):
    store.put("x", bytes(6 * PART_BYTES))
    before = threading.active_count()
    blocks = store.read_blocks("x")
    next(blocks)
    assert threading.active_count() > before
    blocks.close()  # type: ignore[attr-defined]  # a generator
    assert threading.active_count() == before


def test_what_is_not_there_is_named(store: Store):
    with pytest.raises(TerminalError, match=r"no object .*nothing"):
        list(store.read_blocks("nothing"))
