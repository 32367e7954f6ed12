"""What a client of a bucket writes into while it downloads."""

from __future__ import annotations

import io

import pytest

from slipway.errors import TerminalError
from slipway.storage.blocks import Block


def test_what_was_written_is_taken_and_begins_anew_where_the_client_does() -> None:
    block = Block(8)
    assert block.write(b"gone") == 4
    assert block.seek(0) == 0
    block.write(b"ab")
    block.write(memoryview(b"cd"))
    assert bytes(block.take()) == b"abcd"


def test_more_than_was_asked_for_is_refused_with_what_to_do() -> None:
    block = Block(4)
    block.write(b"abc")
    with pytest.raises(TerminalError, match="5 bytes came where 4 were asked for") as caught:
        block.write(b"de")
    assert "Range" in caught.value.hint


def test_it_is_written_from_its_begin_on() -> None:
    with pytest.raises(io.UnsupportedOperation):
        Block(4).seek(2)
