"""What the command line takes as the address of a model."""

from __future__ import annotations

import pytest

from slipway.errors import TerminalError
from slipway.serving.address import split_address


def test_the_last_part_is_the_model():
    assert split_address("s3://bucket/some/prefix/digits/") == ("s3://bucket/some/prefix", "digits")
    assert split_address("/published/digits") == ("/published", "digits")


@pytest.mark.parametrize("address", ["s3://bucket", "s3://", "digits", ""])
def test_an_address_without_a_model_is_refused(address: str):
    with pytest.raises(TerminalError, match="names no model"):
        split_address(address)
