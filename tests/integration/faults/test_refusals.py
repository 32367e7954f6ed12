"""What a cloud refuses: one terminal error, soon, by name, before anything is uploaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from slipway.errors import SlipwayError, TerminalError
from slipway.serving.layout import Layout
from slipway.serving.publish import publish
from slipway.serving.upkeep.survey import survey
from slipway.storage import StoreCredentials, open_store
from support.clouds import CONNECTION, Cloud, cloud_behind_gateway
from support.following import MODEL, following, publish_model
from support.gateway import amazon_error, google_error
from support.google_keys import service_account
from support.models import write_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from slipway.storage import Store
    from support.gateway import Answer
    from support.seaweed import S3ServerWithGuests

SECONDS = 10
TOKEN = (200, b'{"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}')
# How each action of a store looks on the line: method, and a part of the path.
S3_REQUESTS = {
    "list": ("GET", "list-type=2"),
    "read": ("GET", f"/{MODEL}/"),
    "write": ("PUT", f"/{MODEL}/"),
    "delete": ("POST", "?delete"),
}
GCS_REQUESTS = {
    "list": ("GET", "/o?"),
    "read": ("GET", "alt=media"),
    "write": ("POST", "/upload/"),
    "delete": ("DELETE", "/o/"),
}
AMAZON = {
    "expired token": (400, "ExpiredToken", "temporary keys"),
    "wrong token": (400, "InvalidToken", "AWS_SESSION_TOKEN"),
    "clock skew": (403, "RequestTimeTooSkewed", "clock"),
    "late request": (403, "RequestExpired", "clock"),
    "wrong region": (400, "AuthorizationHeaderMalformed", "AWS_REGION"),
    "bucket elsewhere": (301, "PermanentRedirect", "AWS_REGION"),
}


@pytest.fixture
def s3(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    with cloud_behind_gateway("s3", request) as cloud:
        yield cloud


@pytest.fixture
def gcs(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    with cloud_behind_gateway("gcs", request) as cloud:
        yield cloud


@pytest.fixture(params=["first version", "second version"])
def published(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Cloud], int]:
    """What is refused may depend on what is there."""

    def prepare(cloud: Cloud) -> int:
        if request.param == "first version":
            return 1
        return publish_model(cloud.direct, write_model(tmp_path / "earlier", seed=9)) + 1

    return prepare


def refusal(action: Callable[[], object]) -> SlipwayError:
    began = time.monotonic()
    with pytest.raises(TerminalError) as caught:
        action()
    assert time.monotonic() - began < SECONDS
    return caught.value


def refused(cloud: Cloud, store: Store, tmp_path: Path, version: int) -> SlipwayError:
    """The error of a publish, after which nothing of the model lies in the bucket."""
    folder = write_model(tmp_path / "m", seed=1)
    error = refusal(
        lambda: publish(
            store, MODEL, folder, variant="v", metrics={}, golden=b"{}", removes_later=True
        )
    )
    assert CONNECTION in error.message
    prefix = Layout(MODEL).version_prefix(version)
    assert list(cloud.direct.list(prefix)) == []
    assert list(cloud.direct.list(f"{MODEL}/_slipway/staging")) == []
    return error


def answer_to(cloud: Cloud, action: str, answer: Answer) -> list[str]:
    """Answers every request of one action so; returns the list of those it answered."""
    method, part = (S3_REQUESTS if cloud.kind == "s3" else GCS_REQUESTS)[action]
    met: list[str] = []

    def rule(asked: str, path: str) -> Answer | None:
        if asked != method or part not in path:
            return None
        met.append(path)
        return answer

    cloud.front.rule = rule
    return met


@pytest.mark.parametrize("right", ["List", "Read", "Write"])
def test_s3_keys_without_a_right_are_told_which(
    s3: Cloud,
    s3_server: S3ServerWithGuests,
    tmp_path: Path,
    published: Callable[[Cloud], int],
    right: str,
):
    version = published(s3)
    guest = s3_server.without(right)
    store = s3.behind(access_key_id=guest.access_key_id, secret_access_key=guest.secret_access_key)
    error = refused(s3, store, tmp_path, version)
    assert f"Could not {right.lower()} {s3.uri}" in error.message
    assert "403 AccessDenied" in error.message
    permission = {"List": "s3:ListBucket", "Read": "s3:GetObject", "Write": "s3:PutObject"}[right]
    assert permission in error.hint


@pytest.mark.parametrize("wrong", ["key", "secret"])
def test_wrong_s3_keys_are_refused_and_never_shown(
    s3: Cloud, tmp_path: Path, published: Callable[[Cloud], int], wrong: str
):
    version = published(s3)
    other = {
        "key": {"access_key_id": "nobody"},
        "secret": {"secret_access_key": SecretStr("wrong-and-private")},
    }[wrong]
    error = refused(s3, s3.behind(**other), tmp_path, version)
    assert "Could not read" in error.message
    assert ("AWS_ACCESS_KEY_ID" if wrong == "key" else "AWS_SECRET_ACCESS_KEY") in error.hint
    assert "wrong-and-private" not in f"{error!r} {error} {error.details}"
    assert len(s3.front.seen) == 1


@pytest.mark.parametrize("name", AMAZON)
def test_what_only_amazon_refuses_is_one_error_with_advice(s3: Cloud, tmp_path: Path, name: str):
    status, code, advice = AMAZON[name]
    s3.front.rule = lambda _method, _path: amazon_error(status, code)
    error = refused(s3, s3.behind(), tmp_path, 1)
    assert f"Could not read {s3.uri}" in error.message
    assert f"{status} {code}" in error.message
    assert advice in error.hint
    assert len(s3.front.seen) == 1


@pytest.mark.parametrize("kind", ["s3", "gcs"])
@pytest.mark.parametrize("action", ["list", "read", "write", "delete"])
def test_a_denied_action_is_named_before_anything_is_uploaded(
    kind: str,
    action: str,
    tmp_path: Path,
    published: Callable[[Cloud], int],
    request: pytest.FixtureRequest,
):
    with cloud_behind_gateway(kind, request) as cloud:
        version = published(cloud)
        denied = {
            "s3": amazon_error(403, "AccessDenied"),
            "gcs": google_error(403, "forbidden"),
        }[kind]
        met = answer_to(cloud, action, denied)
        error = refused(cloud, cloud.behind(), tmp_path, version)
        assert f"Could not {action} {cloud.uri}" in error.message
        assert "403" in error.message
        # This server's 404 leaves open what is missing; then GCS is asked for the bucket, too.
        asked_twice = (kind, action, version) == ("gcs", "list", 1)
        assert len(met) == (2 if asked_twice else 1)


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_a_missing_bucket_is_named(kind: str, tmp_path: Path, request: pytest.FixtureRequest):
    with cloud_behind_gateway(kind, request) as cloud:
        scheme = cloud.uri.partition("://")[0]
        error = refused(cloud, cloud.behind(f"{scheme}://no-such-bucket/x"), tmp_path, 1)
        assert f"{scheme}://no-such-bucket/x" in error.message
        assert "Create the bucket" in error.hint


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("s3://Upper/x", "S3"),
        ("s3://192.168.5.4/x", "S3"),
        ("s3://ab/x", "S3"),
        ("gs://goog-models/x", "GCS"),
        (f"gs://{'a' * 64}/x", "GCS"),
        ("gs://-a-/x", "GCS"),
    ],
)
def test_a_name_that_the_cloud_does_not_allow_is_refused_before_anything_is_asked(
    address: str, kind: str
):
    credentials = StoreCredentials(access_key_id="key", connection=CONNECTION)
    error = refusal(lambda: open_store(address, credentials))
    assert f"is no name for {'an' if kind == 'S3' else 'a'} {kind} bucket" in error.message
    assert error.subject == address


def with_key(gcs: Cloud) -> Store:
    key, _ = service_account(f"{gcs.front.url}/token")
    google = gcs.login.google.model_copy(update={"anonymous": False, "key_json": SecretStr(key)})
    return gcs.behind(google=google)


def test_a_google_token_that_expired_is_refused(gcs: Cloud, tmp_path: Path):
    gcs.front.rule = lambda _method, path: (
        TOKEN if path == "/token" else google_error(401, "authError")
    )
    error = refused(gcs, with_key(gcs), tmp_path, 1)
    assert "Could not read" in error.message
    assert "401 authError" in error.message
    assert "GOOGLE_APPLICATION_CREDENTIALS" in error.hint


@pytest.mark.parametrize(
    "why", ["Invalid JWT Signature.", "Invalid JWT: Token must be a short-lived token"]
)
def test_a_google_key_that_is_wrong_or_signs_with_a_wrong_clock_is_refused(
    gcs: Cloud, tmp_path: Path, why: str
):
    refusal_ = {"error": "invalid_grant", "error_description": why}
    gcs.front.rule = lambda _method, _path: (400, json.dumps(refusal_).encode())
    error = refused(gcs, with_key(gcs), tmp_path, 1)
    assert "invalid_grant" in error.message
    assert "valid service account key" in error.hint
    assert "clock" in error.hint
    assert {path for _, path in gcs.front.seen} == {"/token"}


@pytest.mark.parametrize("kind", ["s3", "gcs"])
@pytest.mark.parametrize("trouble", ["denied", "no bucket"])
def test_a_follower_is_told_the_same(
    kind: str, trouble: str, tmp_path: Path, request: pytest.FixtureRequest
):
    with cloud_behind_gateway(kind, request) as cloud:
        scheme = cloud.uri.partition("://")[0]
        store = cloud.behind(f"{scheme}://no-such-bucket/x" if trouble == "no bucket" else "")
        if trouble == "denied":
            denied = amazon_error(403, "AccessDenied")
            answer_to(cloud, "read", denied if kind == "s3" else google_error(403, "forbidden"))
        with following(store, tmp_path / "served") as made:
            began = time.monotonic()
            assert not made.poll()
            assert time.monotonic() - began < SECONDS
            error = made.follower.failures[0]
        assert isinstance(error, TerminalError)
        assert f"Could not read {store.uri}" in error.message
        assert CONNECTION in error.message
        assert made.metrics.value("store") == 1


def test_keys_that_may_not_read_are_no_damage(
    s3: Cloud, s3_server: S3ServerWithGuests, tmp_path: Path
):
    """Whoever deletes a ledger that only he may not read lets numbers be used again."""
    publish_model(s3.direct, write_model(tmp_path / "m", seed=1))
    guest = s3_server.without("Read")
    store = s3.behind(access_key_id=guest.access_key_id, secret_access_key=guest.secret_access_key)
    error = refusal(lambda: survey(store, MODEL))
    assert f"Could not read {s3.uri}" in error.message
    assert "403 AccessDenied" in error.message
    assert "s3:GetObject" in error.hint
    assert not survey(s3.direct, MODEL).damages


def test_on_the_command_line_it_is_one_message_and_status_1(s3: Cloud, tmp_path: Path):
    login = s3.login.model_copy(update={"secret_access_key": SecretStr("wrong-and-private")})
    command = [sys.executable, "-m", "slipway.cli", "sync", f"{s3.uri}/{MODEL}"]
    began = time.monotonic()
    ended = subprocess.run(
        [*command, str(tmp_path / "served"), "--once"],
        env={**os.environ, **login.to_environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert time.monotonic() - began < SECONDS
    assert ended.returncode == 1
    told = f"{ended.stdout}{ended.stderr}"
    assert "SignatureDoesNotMatch" in told
    assert CONNECTION in told
    assert "wrong-and-private" not in told
    assert "Traceback" not in told
