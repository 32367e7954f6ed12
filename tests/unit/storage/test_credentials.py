"""What one process knows of its identity, the next one reads; nobody else does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from slipway.storage import StoreCredentials

words = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters=","), min_size=1)
maybe = st.none() | words
secrets = st.none() | words.map(lambda word: f"private-{word}")
google = st.fixed_dictionaries(
    {
        "key_json": secrets,
        "key_file": maybe,
        "impersonate": st.lists(words, max_size=3),
        "project": maybe,
        "quota_project": maybe,
        "endpoint_url": words.map(lambda word: f"http://{word}"),
        "anonymous": st.booleans(),
    }
)
credentials = st.fixed_dictionaries(
    {
        "access_key_id": maybe,
        "secret_access_key": secrets,
        "session_token": secrets,
        "profile": maybe,
        "anonymous": st.booleans(),
        "region": maybe,
        "endpoint_url": maybe,
        "verify": st.booleans(),
        "ca_bundle": maybe,
        "google": google,
        "connection": maybe,
    }
).map(StoreCredentials.model_validate)


@given(credentials)
def test_a_child_process_reads_what_its_parent_knew(known: StoreCredentials):
    assert StoreCredentials.from_environment(known.to_environment()) == known


@given(credentials)
def test_no_secret_shows(known: StoreCredentials):
    assert "private-" not in f"{known!r} {known} {known.model_dump_json()} {known.named('a', 'B')}"


@pytest.mark.parametrize("field", ["secret_access_key", "session_token", "region", "google"])
def test_a_secret_in_the_wrong_place_does_not_show_in_the_error(field: str):
    given: dict[str, Any] = {field: ["private-"]}
    with pytest.raises(ValidationError) as caught:
        StoreCredentials.model_validate(given)
    assert "private-" not in str(caught.value)
