"""Airflow connections as environment of a step's process."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from slipway.errors import TerminalError
from slipway.storage import StoreCredentials
from slipway_airflow.hooks.connections import (
    async_prometheus,
    bucket_environment,
    model_server_environment,
    prometheus,
)
from support.no_identity import no_identity

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.storage.google_credentials import GoogleCredentials


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    no_identity(monkeypatch, tmp_path)
    for name in ("SLIPWAY_MODEL_SERVER_URL", "SLIPWAY_PROMETHEUS_URL"):
        monkeypatch.delenv(name, raising=False)


def connect(monkeypatch: pytest.MonkeyPatch, name: str, **fields: Any) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))


def test_the_keys_of_a_bucket_are_what_a_step_reads(monkeypatch: pytest.MonkeyPatch):
    extra = {"endpoint_url": "http://127.0.0.1:9000", "region_name": "eu-north-1"}
    connect(monkeypatch, "bucket_a", conn_type="aws", login="who", password="word", extra=extra)
    read = StoreCredentials.from_environment(bucket_environment("bucket_a", "s3://b"))
    assert read.access_key_id == "who"
    assert read.secret_access_key is not None
    assert read.secret_access_key.get_secret_value() == "word"
    assert (read.endpoint_url, read.region) == ("http://127.0.0.1:9000", "eu-north-1")


def test_keys_are_not_completed_by_the_workers_own_token(monkeypatch: pytest.MonkeyPatch):
    connect(monkeypatch, "bucket_b", conn_type="aws", login="who", password="word")
    own = {"AWS_SESSION_TOKEN": "of another identity"}
    read = StoreCredentials.from_environment(own | bucket_environment("bucket_b", "s3://b"))
    assert read.session_token is None


def test_without_a_login_the_platform_says_who_we_are(monkeypatch: pytest.MonkeyPatch):
    connect(monkeypatch, "bucket_c", conn_type="aws", extra={"region_name": "eu-north-1"})
    assert bucket_environment("bucket_c", "s3://b") == {
        "AWS_REGION": "eu-north-1",
        "SLIPWAY_BUCKET_CONNECTION": "bucket_c",
    }


def google(name: str) -> GoogleCredentials:
    own = {"SLIPWAY_GOOGLE_KEYFILE_JSON": "{}", "GOOGLE_APPLICATION_CREDENTIALS": "/worker.json"}
    return StoreCredentials.from_environment(own | bucket_environment(name, "gs://b")).google


def key_of(credentials: GoogleCredentials) -> Any:
    return credentials.key_json and json.loads(credentials.key_json.get_secret_value())


@pytest.mark.parametrize("prefix", ["", "extra__google_cloud_platform__"])
@pytest.mark.parametrize("as_text", [True, False])
def test_the_key_of_a_google_connection_is_the_only_one(
    monkeypatch: pytest.MonkeyPatch, prefix: str, as_text: bool
):
    key = {"type": "service_account", "client_email": "a@b"}
    name = f"google_a{len(prefix)}{as_text}".lower()
    extra = {f"{prefix}keyfile_dict": json.dumps(key) if as_text else key, f"{prefix}project": "p"}
    connect(monkeypatch, name, conn_type="google_cloud_platform", extra=extra)
    read = google(name)
    assert (key_of(read), read.key_file, read.project) == (key, None, "p")


@pytest.mark.parametrize("field", ["key_path", "credential_config_file"])
def test_a_google_connection_may_name_a_file(monkeypatch: pytest.MonkeyPatch, field: str):
    name = f"google_b_{field}"
    connect(monkeypatch, name, conn_type="google_cloud_platform", extra={field: "/a.json"})
    read = google(name)
    assert (read.key_json, read.key_file) == (None, "/a.json")


def test_an_empty_google_connection_leaves_it_to_the_platform(monkeypatch: pytest.MonkeyPatch):
    connect(monkeypatch, "google_c", conn_type="google_cloud_platform")
    assert bucket_environment("google_c", "gs://b") == {"SLIPWAY_BUCKET_CONNECTION": "google_c"}


def test_a_google_connection_may_name_its_own_server(monkeypatch: pytest.MonkeyPatch):
    extra = {"is_anonymous": True, "endpoint_url": "http://127.0.0.1:4443"}
    connect(monkeypatch, "google_d", conn_type="google_cloud_platform", extra=extra)
    read = google("google_d")
    assert (read.anonymous, read.endpoint_url) == (True, "http://127.0.0.1:4443")


def test_a_chain_of_accounts_goes_on_as_it_is_given(monkeypatch: pytest.MonkeyPatch):
    for number, chain in enumerate(["a@x, b@x", ["a@x", "b@x"]]):
        name = f"google_e{number}"
        extra = {"impersonation_chain": chain, "quota_project_id": "paying-1"}
        connect(monkeypatch, name, conn_type="google_cloud_platform", extra=extra)
        read = google(name)
        assert (read.impersonate, read.quota_project) == (("a@x", "b@x"), "paying-1")


@pytest.mark.parametrize("field", ["key_secret_name", "idp_issuer_url"])
def test_what_is_not_followed_is_refused_and_not_ignored(
    monkeypatch: pytest.MonkeyPatch, field: str
):
    name = f"google_f_{field}"
    connect(monkeypatch, name, conn_type="google_cloud_platform", extra={field: "x"})
    with pytest.raises(TerminalError, match=field):
        bucket_environment(name, "gs://b")


def test_two_identities_at_once_are_refused(monkeypatch: pytest.MonkeyPatch):
    extra = {"key_path": "/a.json", "is_anonymous": True}
    connect(monkeypatch, "google_g", conn_type="google_cloud_platform", extra=extra)
    with pytest.raises(TerminalError, match="key_path and is_anonymous"):
        bucket_environment("google_g", "gs://b")


@pytest.mark.parametrize(
    ("kind", "uri", "extra", "field"),
    [
        ("aws", "s3://b", {"region_name": {"private": 1}}, "region"),
        ("google_cloud_platform", "gs://b", {"keyfile_dict": ["private"]}, "key_json"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, kind: str, uri: str, extra: dict[str, Any], field: str
):
    connect(monkeypatch, f"wrong_{kind}", conn_type=kind, extra=extra)
    with pytest.raises(TerminalError, match=field) as caught:
        bucket_environment(f"wrong_{kind}", uri)
    assert "private" not in f"{caught.value!r} {caught.value}"
    assert caught.value.__cause__ is None


def test_a_folder_needs_no_connection():
    assert bucket_environment("nowhere", "file:///models") == {}


def test_a_missing_connection_is_named(monkeypatch: pytest.MonkeyPatch):
    for ask, variable in (
        (lambda: bucket_environment("nowhere", "s3://b"), "AWS_ACCESS_KEY_ID"),
        (lambda: bucket_environment("nowhere", "gs://b"), "GOOGLE_APPLICATION_CREDENTIALS"),
        (lambda: model_server_environment("nowhere"), "SLIPWAY_MODEL_SERVER_URL"),
    ):
        with pytest.raises(TerminalError, match="nowhere") as error:
            ask()
        assert error.value.subject == "nowhere"
        assert variable in error.value.hint
        monkeypatch.setenv(variable, "set")
        assert ask() == {}


def test_the_model_server_and_its_view_of_the_bucket(monkeypatch: pytest.MonkeyPatch):
    extra = {"model_config_file": "/models.config", "model_base_path": "/mirror", "timeout": 3}
    connect(monkeypatch, "server_a", conn_type="http", host="serving", port=8501, extra=extra)
    assert model_server_environment("server_a") == {
        "SLIPWAY_MODEL_SERVER_URL": "http://serving:8501",
        "SLIPWAY_MODEL_CONFIG_FILE": "/models.config",
        "SLIPWAY_MODEL_BASE_PATH": "/mirror",
    }


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "p", "port": 9090}, "http://p:9090"),
        ({"host": "p", "schema": "https"}, "https://p"),
        ({"host": "https://p/", "port": 443}, "https://p:443"),
    ],
)
def test_the_address_of_prometheus(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], url: str
):
    name = f"prometheus_{abs(hash(url))}"
    connect(monkeypatch, name, conn_type="http", **fields)
    assert prometheus(name) == (url, None)
    assert asyncio.run(async_prometheus(name)) == (url, None)


def test_the_login_of_prometheus_stays_out_of_its_address(monkeypatch: pytest.MonkeyPatch):
    connect(monkeypatch, "prometheus_b", conn_type="http", host="p", login="who", password="word")
    assert prometheus("prometheus_b") == ("http://p", ("who", "word"))


def test_prometheus_without_a_host_or_a_connection(monkeypatch: pytest.MonkeyPatch):
    connect(monkeypatch, "prometheus_c", conn_type="http")
    with pytest.raises(TerminalError, match="names no host"):
        prometheus("prometheus_c")
    with pytest.raises(TerminalError, match="nowhere"):
        asyncio.run(async_prometheus("nowhere"))
    monkeypatch.setenv("SLIPWAY_PROMETHEUS_URL", "http://127.0.0.1:9090/")
    assert prometheus("nowhere") == ("http://127.0.0.1:9090", None)
