from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from contract.storage.suite import StoreContract
from slipway.errors import TerminalError, TransientError
from slipway.storage import Store, StoreCredentials, open_store
from support.gateway import gateway
from support.real_bucket import empty_store
from support.seaweed import S3Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class TestS3Store(StoreContract):
    @pytest.fixture
    def store(self, request: pytest.FixtureRequest) -> Iterator[Store]:
        with empty_store("s3", request) as store:
            yield store


@pytest.fixture
def with_other(s3_server: S3Server, s3_uri: str) -> Callable[..., Store]:
    def build(uri: str = s3_uri, **other: Any) -> Store:
        return open_store(uri, s3_server.credentials.model_copy(update=other))

    return build


def within(seconds: float, store: Store, error: type[Exception]) -> Any:
    began = time.monotonic()
    with pytest.raises(error) as caught:
        store.check_access()
    assert time.monotonic() - began < seconds
    return caught.value


def test_an_unknown_key_is_terminal(with_other: Callable[..., Store]):
    error = within(10, with_other(access_key_id="nobody"), TerminalError)
    assert "list" in error.message
    assert "AWS_ACCESS_KEY_ID" in error.hint


def test_the_endpoint_that_was_given_wins_over_the_environment(
    s3_server: S3Server, s3_uri: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    open_store(s3_uri, s3_server.credentials).check_access()


def test_a_wrong_secret_is_terminal_and_never_shown(with_other: Callable[..., Store]):
    store = with_other(secret_access_key=SecretStr("wrong-and-private"))
    error = within(10, store, TerminalError)
    assert "AWS_SECRET_ACCESS_KEY" in error.hint
    assert "wrong-and-private" not in f"{error!r} {error} {error.details} {store!r}"
    assert error.__cause__ is None


@pytest.mark.parametrize("action", ["get", "list", "list_folders", "delete"])
def test_every_action_with_a_wrong_secret_is_terminal(
    with_other: Callable[..., Store], action: str
):
    with pytest.raises(TerminalError, match="403"):
        getattr(with_other(secret_access_key=SecretStr("wrong")), action)("x")


@pytest.mark.parametrize("action", ["get", "list", "list_folders", "check_access"])
def test_a_missing_bucket_is_terminal(with_other: Callable[..., Store], action: str):
    store = with_other(uri="s3://no-such-bucket/base")
    arguments = () if action == "check_access" else ("x",)
    with pytest.raises(TerminalError, match="no-such-bucket") as caught:
        getattr(store, action)(*arguments)
    assert "bucket" in caught.value.hint


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (400, "ExpiredToken", "have expired"),
        (400, "InvalidToken", "AWS_SESSION_TOKEN"),
        (403, "RequestTimeTooSkewed", "clock"),
        (400, "AuthorizationHeaderMalformed", "AWS_REGION"),
        (301, "PermanentRedirect", "AWS_REGION"),
        (403, "AccessDenied", "s3:ListBucket"),
        (404, "NoSuchBucket", "Create the bucket"),
    ],
)
def test_a_refusal_is_terminal_and_says_what_to_do(
    with_other: Callable[..., Store], s3_server: S3Server, status: int, code: str, advice: str
):
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    with gateway(s3_server.endpoint_url) as front:
        front.rule = lambda _method, _path: (status, body)
        store = with_other(endpoint_url=front.url, connection="aws_models")
        error = within(10, store, TerminalError)
        assert len(front.seen) == 1
    assert "Could not list" in error.message
    assert "aws_models" in error.message
    assert advice in error.hint


@pytest.mark.parametrize(
    ("method", "action", "permission"),
    [("PUT", "write", "s3:PutObject"), ("POST", "delete", "s3:DeleteObject")],
)
def test_a_missing_permission_is_terminal_and_named(
    with_other: Callable[..., Store],
    s3_server: S3Server,
    method: str,
    action: str,
    permission: str,
):
    refusal = (403, b"<Error><Code>AccessDenied</Code></Error>")
    with gateway(s3_server.endpoint_url) as front:
        front.rule = lambda asked, _path: refusal if asked == method else None
        error = within(10, with_other(endpoint_url=front.url), TerminalError)
    assert f"Could not {action}" in error.message
    assert permission in error.hint


@pytest.mark.parametrize("name", ["Upper", "ab", "-x-", "x..y", "under_score"])
def test_a_name_that_no_bucket_can_have_is_refused_before_anything_is_asked(name: str):
    with pytest.raises(TerminalError, match="no name for an S3 bucket"):
        open_store(f"s3://{name}/x", StoreCredentials(access_key_id="key"))


def test_plain_http_can_be_forbidden(with_other: Callable[..., Store]):
    with pytest.raises((TerminalError, TransientError)):
        with_other(allow_http=False).list("")


def test_what_one_server_stored_the_next_one_serves(tmp_path: Any):
    server = S3Server(tmp_path / "s3")
    with server:
        store = open_store(f"{server.create_bucket('kept')}/{uuid.uuid4().hex}", server.credentials)
        store.put("x", b"1")
    with server:
        found = open_store(store.uri, server.credentials).get("x")
    assert found is not None
    assert found.data == b"1"
