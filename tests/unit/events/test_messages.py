"""What a message says, and that nothing else passes."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.events.messages import (
    MessageError,
    ModelDropped,
    ObjectCreated,
    VersionReady,
    parse_message,
)


def s3(key: str, bucket: str = "drops", event: str = "ObjectCreated:Put") -> dict[str, Any]:
    record = {"eventName": event, "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}
    return {"Records": [record]}


def test_a_notification_of_s3_names_its_object_decoded() -> None:
    [notice] = parse_message(json.dumps(s3("digits/a+b%C3%A9/saved_model.pb")))
    assert notice == ObjectCreated("s3://drops", "digits/a bé/saved_model.pb")


def test_sns_and_eventbridge_carry_the_same() -> None:
    wrapped = {"Type": "Notification", "Message": json.dumps(s3("digits/a/saved_model.pb"))}
    bridged = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": "drops"}, "object": {"key": "digits/a+b/saved_model.pb"}},
    }
    assert parse_message(json.dumps(wrapped)) == (
        ObjectCreated("s3://drops", "digits/a/saved_model.pb"),
    )
    assert parse_message(json.dumps(bridged)) == (
        ObjectCreated("s3://drops", "digits/a+b/saved_model.pb"),
    )


def test_a_notification_of_gcs_is_read_from_its_attributes() -> None:
    attributes = {"eventType": "OBJECT_FINALIZE", "bucketId": "drops", "objectId": "digits/a/x"}
    assert parse_message(b"\xff", attributes) == (ObjectCreated("gs://drops", "digits/a/x"),)
    assert parse_message(b"", attributes | {"eventType": "OBJECT_DELETE"}) == ()


@pytest.mark.parametrize(
    "content",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent"},
        s3("digits/a/saved_model.pb", event="ObjectRemoved:Delete"),
    ],
)
def test_a_test_message_and_a_removal_say_nothing(content: dict[str, Any]) -> None:
    assert parse_message(json.dumps(content)) == ()


def test_slipways_own_messages_name_a_drop_or_a_version() -> None:
    dropped = parse_message('{"model": "digits", "incoming": "s3://drops/digits/a"}')
    assert dropped == (ModelDropped(model="digits", incoming="s3://drops/digits/a"),)
    ready = parse_message('{"model": "digits", "version": 7}')
    assert ready == (VersionReady(model="digits", version=7),)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "not JSON"),
        ("[]", "not a JSON object"),
        ("[" * 100_000, "not JSON"),
        ('{"Records": ' + "9" * 5000 + "}", "not JSON"),
        ("{}", "neither"),
        ('{"Records": {}}', "not a list"),
        ('{"Records": [3]}', "eventName"),
        (json.dumps(s3("digits/../iris/1/saved_model.pb")), "escapes"),
        (json.dumps(s3("digits%2F..%2Firis/1/saved_model.pb")), "escapes"),
        (json.dumps(s3("/etc/passwd")), "escapes"),
        (json.dumps(s3("digits/a\\b/saved_model.pb")), "escapes"),
        (json.dumps(s3("digits/a%00/saved_model.pb")), "control"),
        (json.dumps(s3("digits/\ud800/saved_model.pb")), "UTF-8"),
        (json.dumps(s3("d" * 2000)), "1024 bytes"),
        (json.dumps(s3("digits/a/x", bucket="../other")), "no bucket"),
        ('{"model": "../digits", "version": 7}', "model"),
        ('{"model": "digits", "version": "7"}', "version"),
        ('{"model": "digits", "version": 0}', "version"),
        ('{"model": "digits", "version": 7, "run": "rm"}', "run"),
        ("x" * 2_000_000, "bytes"),
    ],
)
def test_whatever_else_comes_is_set_aside_with_its_reason(body: str, reason: str) -> None:
    with pytest.raises(MessageError, match=reason):
        parse_message(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
known_keys = st.sampled_from(
    ["Records", "s3", "eventName", "bucket", "object", "key", "Type", "Message", "model", "source"]
)
hostile = st.recursive(
    json_values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(known_keys, inner, max_size=4),
    max_leaves=12,
)


@given(hostile)
def test_no_message_raises_anything_else(content: Any) -> None:
    notices: tuple[Any, ...] = ()
    with suppress(MessageError):
        notices = parse_message(json.dumps(content))
    if notices:
        assert all(
            isinstance(each, ObjectCreated | ModelDropped | VersionReady) for each in notices
        )


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    with suppress(MessageError):
        parse_message(body)
