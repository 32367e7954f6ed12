"""`slipway sync` as a process that is told by its environment alone who it is."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

from slipway.storage import open_store
from support.following import MODEL, publish_model
from support.guarded_gcs import guarded_gcs
from support.guarded_s3 import POD_ROLE, GuardedS3, Identities
from support.local_google import as_text
from support.models import write_model

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.local.gcs_server import GcsServer


def sync(uri: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "slipway.cli", "sync", f"{uri}/{MODEL}", str(folder), "--once"],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def published(server: GuardedS3, tmp_path: Path) -> str:
    uri = f"s3://tests/{uuid.uuid4().hex}"
    publish_model(open_store(uri, server.credentials), write_model(tmp_path / "m", seed=1))
    return uri


def test_a_pod_follows_by_its_web_identity_over_tls(
    monkeypatch: pytest.MonkeyPatch,
    server: GuardedS3,
    identities: Identities,
    published: str,
    tmp_path: Path,
):
    token = identities.token()
    (tmp_path / "token").write_text(token)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", POD_ROLE)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.https_url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.https_url)
    refused = sync(published, tmp_path / "served")
    assert refused.returncode == 1
    assert "AWS_CA_BUNDLE" in refused.stderr
    monkeypatch.setenv("AWS_CA_BUNDLE", str(server.certificates.authority))
    done = sync(published, tmp_path / "served")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "served/1/saved_model.pb").is_file()
    assert token not in f"{refused.stderr} {done.stderr}"


def test_a_host_follows_by_a_profile(
    monkeypatch: pytest.MonkeyPatch, server: GuardedS3, published: str, tmp_path: Path
):
    key, secret = server.keys()
    config = (
        f"[profile models]\nendpoint_url = {server.endpoint_url}\n"
        f"aws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
    )
    (tmp_path / "config").write_text(config)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "models")
    done = sync(published, tmp_path / "served")
    assert done.returncode == 0, done.stderr
    assert secret not in done.stderr


def test_a_host_follows_gcs_by_a_key_file(
    monkeypatch: pytest.MonkeyPatch, gcs_server: GcsServer, tmp_path: Path
):
    uri = f"gs://tests/{uuid.uuid4().hex}"
    publish_model(open_store(uri, gcs_server.credentials), write_model(tmp_path / "m", seed=1))
    with guarded_gcs(gcs_server) as (guard, google):
        (tmp_path / "key.json").write_text(as_text(google.key()))
        monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE", guard.url)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
        done = sync(uri, tmp_path / "served")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "served/1/saved_model.pb").is_file()
