from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from contract.storage.suite import COMMIT, StoreContract
from slipway.content import folder_files
from slipway.errors import SlipwayError, TerminalError, TransientError
from slipway.storage import PreconditionFailed, Store, StoreCredentials, open_store
from slipway.storage.google_credentials import GoogleCredentials
from support.gateway import Gateway, gateway, google_error
from support.google_keys import service_account
from support.real_bucket import empty_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.fake_gcs import GcsServer

FILES = 5
# method and part of the path of each action
REQUESTS = {
    "list": ("GET", "/o?"),
    "read": ("GET", "alt=media"),
    "write": ("POST", "/upload/"),
    "delete": ("DELETE", "/o/"),
}


class TestGcsStore(StoreContract):
    @pytest.fixture
    def store(self, request: pytest.FixtureRequest) -> Iterator[Store]:
        with empty_store("gcs", request) as store:
            yield store


@pytest.fixture
def front(gcs_server: GcsServer) -> Iterator[Gateway]:
    with gateway(gcs_server.endpoint_url) as running:
        yield running


def behind(front: Gateway, uri: str, **google: Any) -> Store:
    login = {"endpoint_url": front.url, "anonymous": True} | google
    return open_store(
        uri,
        StoreCredentials(
            google=GoogleCredentials.model_validate(login), connection="google_cloud_default"
        ),
    )


def within(seconds: float, store: Store, error: type[SlipwayError]) -> SlipwayError:
    began = time.monotonic()
    with pytest.raises(error) as caught:
        store.check_access()
    assert time.monotonic() - began < seconds
    return caught.value


def is_request(action: str, method: str, path: str) -> bool:
    wanted, part = REQUESTS[action]
    return method == wanted and part in path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"graph")
    for index in range(FILES - 1):
        (folder / f"part{index}").write_bytes(os.urandom(100))
    return folder


@pytest.mark.parametrize(
    ("action", "permission"),
    [
        ("list", "storage.objects.list"),
        ("read", "storage.objects.get"),
        ("write", "storage.objects.create"),
        ("delete", "storage.objects.delete"),
    ],
)
def test_a_missing_permission_is_terminal_and_named(
    front: Gateway, gcs_uri: str, action: str, permission: str
):
    front.rule = lambda method, path: (
        google_error(403, "forbidden") if is_request(action, method, path) else None
    )
    error = within(10, behind(front, gcs_uri), TerminalError)
    assert f"Could not {action} {gcs_uri}" in error.message
    assert "google_cloud_default" in error.message
    assert "403 forbidden" in error.message
    assert permission in error.hint


def test_credentials_that_google_does_not_know_are_terminal(front: Gateway, gcs_uri: str):
    token = b'{"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}'
    front.rule = lambda _method, path: (
        (200, token) if path == "/token" else google_error(401, "authError")
    )
    key, _ = service_account(f"{front.url}/token")
    store = behind(front, gcs_uri, anonymous=False, key_json=key)
    error = within(10, store, TerminalError)
    assert "401 authError" in error.message
    assert "GOOGLE_APPLICATION_CREDENTIALS" in error.hint


@pytest.mark.parametrize("where", ["text", "file"])
def test_a_key_that_google_refuses_is_terminal_and_never_shown(
    front: Gateway, gcs_uri: str, tmp_path: Path, where: str
):
    refusal = {"error": "invalid_grant", "error_description": "Invalid JWT: iat is too old"}
    front.rule = lambda _method, _path: (400, json.dumps(refusal).encode())
    key, secret = service_account(f"{front.url}/token")
    file = tmp_path / "key.json"
    file.write_text(key)
    given = {"key_json": key} if where == "text" else {"key_file": str(file)}
    error = within(10, behind(front, gcs_uri, anonymous=False, **given), TerminalError)
    assert "invalid_grant" in error.message
    assert "clock" in error.hint
    assert secret not in f"{error!r} {error} {error.details}"
    assert {path for _, path in front.seen} == {"/token"}


@pytest.mark.parametrize("text", ["no json: private", '{"type": "private"}', '["private"]'])
def test_a_key_that_is_none_is_terminal_and_never_shown(front: Gateway, gcs_uri: str, text: str):
    error = within(10, behind(front, gcs_uri, anonymous=False, key_json=text), TerminalError)
    assert "private" not in f"{error!r} {error} {error.details}"
    assert front.seen == []


def test_a_missing_key_file_is_terminal_and_named(front: Gateway, gcs_uri: str):
    store = behind(front, gcs_uri, anonymous=False, key_file="/nowhere/key.json")
    assert "/nowhere/key.json" in within(10, store, TerminalError).message


@pytest.mark.parametrize("action", ["get", "list", "list_folders", "delete", "check_access"])
def test_a_missing_bucket_is_terminal(front: Gateway, action: str):
    store = behind(front, "gs://no-such-bucket/base")
    arguments = () if action == "check_access" else ("x",)
    with pytest.raises(TerminalError, match="no-such-bucket") as caught:
        getattr(store, action)(*arguments)
    assert "bucket" in caught.value.hint


@pytest.mark.parametrize("name", ["A", "ab", "Upper", "-x-", "x..y", "goog-models", "under_"])
def test_a_name_that_no_bucket_can_have_is_refused_before_anything_is_asked(name: str):
    with pytest.raises(TerminalError, match="no name for a GCS bucket"):
        open_store(f"gs://{name}/x")


@pytest.mark.parametrize("answer", [(0, b""), (503, b""), (429, b""), (500, b"")])
@pytest.mark.parametrize("action", ["list", "read", "write", "delete"])
def test_what_may_pass_is_tried_again(
    front: Gateway, gcs_uri: str, action: str, answer: tuple[int, bytes]
):
    left = [answer, answer]
    front.rule = lambda method, path: (
        left.pop() if left and is_request(action, method, path) else None
    )
    behind(front, gcs_uri).check_access()
    assert not left


def test_bytes_that_are_not_what_google_stored_are_never_returned(
    front: Gateway, gcs_uri: str, tmp_path: Path
):
    store = behind(front, gcs_uri)
    store.put("x", b"right")
    front.spoil = lambda body: body.replace(b"right", b"wrong")
    with pytest.raises(TransientError, match="crc32c"):
        store.get("x")
    with pytest.raises(TransientError, match="crc32c"):
        store.download("x", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_nothing_shows_in_the_folder_before_everything_is_sent(
    front: Gateway, gcs_uri: str, model: Path
):
    store = behind(front, gcs_uri)
    store.place(model, folder_files(model), "m/1", last=["saved_model.pb"], commit=COMMIT)
    writes = [path for method, path in front.seen if method == "POST"]
    sent, moved, committed = writes[:FILES], writes[FILES:-1], writes[-1]
    assert all("/upload/" in path for path in sent)
    assert len(moved) == FILES
    assert all("/rewriteTo/" in path for path in moved)
    assert "saved_model.pb" in moved[-1]
    assert "ifGenerationMatch=0" in committed


def test_placing_costs_three_requests_a_file_and_three(front: Gateway, gcs_uri: str, model: Path):
    store = behind(front, gcs_uri)
    store.list("")
    before, asked = len(front.seen), store.requests
    store.place(model, folder_files(model), "m/1", last=["saved_model.pb"], commit=COMMIT)
    assert len(front.seen) - before == store.requests - asked == 3 * FILES + 3


def test_what_a_killed_attempt_has_sent_is_not_sent_again(
    front: Gateway, gcs_uri: str, model: Path
):
    store = behind(front, gcs_uri)
    files = folder_files(model)
    front.rule = lambda _method, path: (
        google_error(403, "forbidden") if "/rewriteTo/" in path else None
    )
    with pytest.raises(TerminalError):
        store.place(model, files, "m/1", commit=COMMIT)
    front.rule = lambda _method, _path: None
    front.seen.clear()
    store.place(model, files, "m/1", commit=COMMIT)
    assert front.count("POST", "/upload/") == 1
    assert {info.path for info in store.list("")} == {
        "m/1/slipway.json",
        *(f"m/1/{entry.path}" for entry in files),
    }


def test_who_comes_second_with_the_same_content_learns_that_it_is_there(
    front: Gateway, gcs_uri: str, model: Path
):
    files = folder_files(model)
    other = behind(front, gcs_uri)
    begun: list[str] = []

    def overtake(_method: str, path: str) -> None:
        if "/rewriteTo/" in path and not begun:
            begun.append(path)
            other.place(model, files, "m/1", commit=COMMIT)

    front.rule = overtake
    with pytest.raises(PreconditionFailed):
        behind(front, gcs_uri).place(model, files, "m/1", commit=COMMIT)
    front.rule = lambda _method, _path: None
    assert len(other.list("")) == FILES + 1
