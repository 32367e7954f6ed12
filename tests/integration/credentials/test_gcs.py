"""GCS as the standard environment says who we are; the token services are on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from slipway.errors import TerminalError
from slipway.local.processes import free_port
from slipway.storage import open_store
from support.guarded_gcs import guarded_gcs
from support.local_google import ACCOUNT, SUBJECT_TOKEN, LocalGoogle, as_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from slipway.local.gcs_server import GcsServer
    from support.gateway import Gateway

BUCKET = "gs://tests/credentials"
_CHECK = f"from slipway.storage import open_store; open_store({BUCKET!r}).check_access()"


@pytest.fixture
def front(
    gcs_server: GcsServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Gateway, LocalGoogle]]:
    """The bucket behind a guard, as the endpoint that the environment names."""
    with guarded_gcs(gcs_server) as both:
        monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE", both[0].url)
        yield both


@pytest.fixture
def google(front: tuple[Gateway, LocalGoogle]) -> LocalGoogle:
    """Gives the tokens that the bucket asks for."""
    return front[1]


def works() -> None:
    open_store(BUCKET).check_access()


def refused() -> TerminalError:
    began = time.monotonic()
    with pytest.raises(TerminalError) as caught:
        works()
    assert time.monotonic() - began < 10
    assert caught.value.__cause__ is None
    return caught.value


def use_file(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> Path:
    file = folder / "key.json"
    file.write_text(text)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    return file


def test_a_service_account_s_key_file(
    monkeypatch: pytest.MonkeyPatch, google: LocalGoogle, tmp_path: Path
):
    use_file(monkeypatch, tmp_path, as_text(google.key()))
    works()


def test_a_key_as_text_wins_over_a_file(monkeypatch: pytest.MonkeyPatch, google: LocalGoogle):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere")
    monkeypatch.setenv("SLIPWAY_GOOGLE_KEYFILE_JSON", as_text(google.key()))
    works()


def test_a_key_of_another_account_is_refused(
    monkeypatch: pytest.MonkeyPatch, google: LocalGoogle, tmp_path: Path
):
    stranger = LocalGoogle()
    stranger.http = google.http
    use_file(monkeypatch, tmp_path, as_text(stranger.key()))
    error = refused()
    assert "invalid_grant" in error.message
    assert "BEGIN PRIVATE KEY" not in f"{error} {error.details}"


def test_workload_identity_changes_a_token_of_elsewhere(
    monkeypatch: pytest.MonkeyPatch, google: LocalGoogle, tmp_path: Path
):
    (tmp_path / "token").write_text(SUBJECT_TOKEN)
    config = google.workload_identity(str(tmp_path / "token"))
    use_file(monkeypatch, tmp_path, as_text(config))
    works()


def test_an_account_is_impersonated(
    monkeypatch: pytest.MonkeyPatch, front: tuple[Gateway, LocalGoogle], tmp_path: Path
):
    guard, google = front
    guard.bearer = google.become
    become_at(monkeypatch, google)
    use_file(monkeypatch, tmp_path, as_text(google.key()))
    accounts = "between@models.iam.gserviceaccount.com,target@models.iam.gserviceaccount.com"
    monkeypatch.setenv("CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT", accounts)
    works()
    asked = next(each for each in google.http.asked if "generateAccessToken" in each.path)
    assert "/target@models" in asked.path
    assert b"between@models" in asked.body
    assert b"target@models" not in asked.body


def become_at(monkeypatch: pytest.MonkeyPatch, google: LocalGoogle) -> None:
    """Google's client names this one address as a constant."""
    import google.auth.iam as addresses

    address = f"{google.url}/v1/projects/-/serviceAccounts/{{}}:generateAccessToken"
    monkeypatch.setattr(addresses, "_IAM_ENDPOINT", address)


def test_an_account_that_may_not_be_impersonated_is_named(
    monkeypatch: pytest.MonkeyPatch, google: LocalGoogle, tmp_path: Path
):
    google.refuses = True
    become_at(monkeypatch, google)
    use_file(monkeypatch, tmp_path, as_text(google.key()))
    monkeypatch.setenv("CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT", ACCOUNT)
    error = refused()
    assert "impersonated" in error.message
    assert "Token Creator" in error.hint


def test_a_machine_of_google_s_has_the_account_of_its_metadata(google: LocalGoogle):
    """In a process of its own: the client reads where the metadata is when it is imported."""
    host = google.url.removeprefix("http://")
    environment = os.environ | {"GCE_METADATA_HOST": host, "GCE_METADATA_IP": host}
    del environment["NO_GCE_CHECK"]
    subprocess.run([sys.executable, "-c", _CHECK], check=True, env=environment)
    assert any(each.path.partition("?")[0].endswith("/token") for each in google.http.asked)


@pytest.mark.usefixtures("front")
def test_a_machine_of_nobody_s_is_told_what_to_give_within_10_seconds():
    host = f"127.0.0.1:{free_port()}"
    environment = os.environ | {"GCE_METADATA_HOST": host, "GCE_METADATA_IP": host}
    del environment["NO_GCE_CHECK"]
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", _CHECK], env=environment, capture_output=True, text=True, check=False
    )
    assert time.monotonic() - began < 10 + 5  # and to start Python on a busy machine
    assert "No Google credentials are given" in ended.stderr
    assert "GOOGLE_APPLICATION_CREDENTIALS" in ended.stderr


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("no json: private", "no key that can be read"),
        ("[]", "no key that can be read"),
        ('{"type": "service_account", "private_key": "private"}', "no key that can be read"),
        ('{"type": "unheard of", "private": "private"}', "no key that can be read"),
        (None, "No such file"),
    ],
)
@pytest.mark.usefixtures("front")
def test_a_file_that_is_no_key_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, problem: str
):
    file = use_file(monkeypatch, tmp_path, text or "")
    if text is None:
        file.unlink()
    error = refused()
    assert problem in error.message
    assert str(file) in error.message
    assert error.subject == "GOOGLE_APPLICATION_CREDENTIALS"
    assert "private" not in f"{error} {error.details}"
