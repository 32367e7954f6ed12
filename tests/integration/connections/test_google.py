"""Airflow's google_cloud_platform connections, against a bucket that asks for a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import google.auth.iam
import pytest

from slipway.errors import TerminalError
from slipway.spec.rollout import PublishSpec
from slipway_airflow.hooks.bucket import open_bucket
from support.guarded_gcs import guarded_gcs
from support.local_google import SUBJECT_TOKEN, LocalGoogle, as_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from slipway.local.gcs_server import GcsServer
    from support.gateway import Gateway

BUCKET = "gs://tests/connections"


@pytest.fixture
def front(gcs_server: GcsServer) -> Iterator[tuple[Gateway, LocalGoogle]]:
    """The bucket behind a guard, and who gives the tokens."""
    with guarded_gcs(gcs_server) as both:
        yield both


def works(connection: str) -> None:
    open_bucket(PublishSpec(base_uri=BUCKET, connection=connection)).check_access()


def refused(connection: str) -> TerminalError:
    with pytest.raises(TerminalError) as caught:
        works(connection)
    assert connection in caught.value.message
    assert caught.value.__cause__ is None
    return caught.value


@pytest.mark.parametrize("form", ["object", "text"])
def test_a_key_in_the_connection(
    front: tuple[Gateway, LocalGoogle], connect: Callable[..., str], form: str
):
    guard, google_ = front
    key: Any = google_.key() if form == "object" else as_text(google_.key())
    extra = {"keyfile_dict": key, "endpoint_url": guard.url, "project": "models"}
    works(connect(conn_type="google_cloud_platform", extra=extra))


def test_a_key_file_wins_over_the_worker_s(
    monkeypatch: pytest.MonkeyPatch,
    front: tuple[Gateway, LocalGoogle],
    connect: Callable[..., str],
    tmp_path: Path,
):
    guard, google_ = front
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/of/the/worker.json")
    (tmp_path / "key.json").write_text(as_text(google_.key()))
    extra = {"key_path": str(tmp_path / "key.json"), "endpoint_url": guard.url}
    works(connect(conn_type="google_cloud_platform", extra=extra))


def test_an_empty_connection_leaves_it_to_the_worker(
    monkeypatch: pytest.MonkeyPatch,
    front: tuple[Gateway, LocalGoogle],
    connect: Callable[..., str],
    tmp_path: Path,
):
    guard, google_ = front
    (tmp_path / "key.json").write_text(as_text(google_.key()))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    works(connect(conn_type="google_cloud_platform", extra={"endpoint_url": guard.url}))


@pytest.mark.parametrize("form", ["object", "text", "file"])
def test_workload_identity(
    front: tuple[Gateway, LocalGoogle], connect: Callable[..., str], tmp_path: Path, form: str
):
    guard, google_ = front
    (tmp_path / "token").write_text(SUBJECT_TOKEN)
    config: Any = google_.workload_identity(str(tmp_path / "token"))
    if form != "object":
        config = as_text(config)
    if form == "file":
        (tmp_path / "config.json").write_text(config)
        config = str(tmp_path / "config.json")
    extra = {"credential_config_file": config, "endpoint_url": guard.url}
    works(connect(conn_type="google_cloud_platform", extra=extra))


def test_an_account_is_impersonated(
    monkeypatch: pytest.MonkeyPatch,
    front: tuple[Gateway, LocalGoogle],
    connect: Callable[..., str],
):
    guard, google_ = front
    guard.bearer = google_.become
    address = f"{google_.url}/v1/projects/-/serviceAccounts/{{}}:generateAccessToken"
    # Google's client names this one address as a constant.
    monkeypatch.setattr(google.auth.iam, "_IAM_ENDPOINT", address)
    extra = {
        "keyfile_dict": google_.key(),
        "impersonation_chain": "target@models.iam.gserviceaccount.com",
        "endpoint_url": guard.url,
    }
    name = connect(conn_type="google_cloud_platform", extra=extra)
    works(name)
    google_.refuses = True
    assert "impersonation_chain" in refused(name).hint


def test_no_credentials_at_all_is_a_choice(gcs_server: GcsServer, connect: Callable[..., str]):
    extra = {"is_anonymous": True, "endpoint_url": gcs_server.endpoint_url}
    works(connect(conn_type="google_cloud_platform", extra=extra))


def test_a_wrong_token_names_the_connection(
    front: tuple[Gateway, LocalGoogle], connect: Callable[..., str]
):
    guard, google_ = front
    guard.bearer = "another"
    extra = {"keyfile_dict": google_.key(), "endpoint_url": guard.url}
    error = refused(connect(conn_type="google_cloud_platform", extra=extra))
    assert "401" in error.message


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"keyfile_dict": '{"type": "service_account"'}, "keyfile_dict of the connection"),
        ({"keyfile_dict": {"type": "service_account", "private_key": "x"}}, "keyfile_dict of"),
        ({"key_path": "/nowhere.json"}, "/nowhere.json (key_path of the connection"),
        ("no json", "extra field"),
    ],
)
def test_a_key_that_cannot_be_read_names_connection_and_field(
    connect: Callable[..., str], extra: Any, field: str
):
    assert field in refused(connect(conn_type="google_cloud_platform", extra=extra)).message
