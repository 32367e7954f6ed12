"""Airflow's aws connections, against a server that checks who asks."""

from __future__ import annotations

import json
import logging
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from slipway.errors import SlipwayError, TerminalError, TransientError
from slipway.local.processes import free_port
from slipway.spec.loader import load_spec
from slipway.spec.plan import plan_build
from slipway.spec.rollout import PublishSpec
from slipway_airflow.hooks.bucket import open_bucket
from slipway_airflow.hooks.connections import bucket_environment
from slipway_airflow.operators.base import Work
from slipway_airflow.operators.check import CheckOperator
from support.guarded_s3 import OTHER_ROLE, POD_ROLE, ROLE
from support.local_http import local_http
from support.specs import PROJECT, write_spec
from support.temporary_keys import assumed, temporary_keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.guarded_s3 import GuardedS3, Identities

BUCKET = "s3://tests/connections"


def works(connection: str) -> None:
    """Whoever the connection says we are may do everything in the bucket."""
    open_bucket(PublishSpec(base_uri=BUCKET, connection=connection)).check_access()


def refused(connection: str, kind: type[SlipwayError] = TerminalError) -> SlipwayError:
    """The error, which names the connection and is caused by nothing that could show secrets."""
    with pytest.raises(kind) as caught:
        works(connection)
    assert connection in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.__cause__ is None
    return caught.value


def keys(server: GuardedS3) -> dict[str, str]:
    login, password = server.keys()
    return {"conn_type": "aws", "login": login, "password": password}


def through(server: GuardedS3, **extra: Any) -> dict[str, Any]:
    """A connection's extra field for the plain endpoint, its token service included."""
    return {
        "endpoint_url": server.endpoint_url,
        "region_name": "us-east-1",
        "service_config": {"sts": {"endpoint_url": server.endpoint_url}},
        **extra,
    }


def test_login_and_password_are_the_keys(server: GuardedS3, connect: Callable[..., str]):
    works(connect(**keys(server), extra=through(server)))


def test_the_keys_may_stand_in_the_extra_field(server: GuardedS3, connect: Callable[..., str]):
    key, secret = server.keys()
    extra = through(server, aws_access_key_id=key, aws_secret_access_key=secret)
    works(connect(conn_type="aws", extra=extra))


def test_temporary_keys_come_with_their_token(server: GuardedS3, connect: Callable[..., str]):
    own = temporary_keys(server)
    login = {"login": own["AccessKeyId"], "password": own["SecretAccessKey"]}
    extra = through(server, aws_session_token=own["SessionToken"])
    works(connect(conn_type="aws", **login, extra=extra))


def test_the_endpoint_may_be_that_of_s3_alone(server: GuardedS3, connect: Callable[..., str]):
    extra = {
        "endpoint_url": f"http://127.0.0.1:{free_port()}",
        "service_config": {"s3": {"endpoint_url": server.endpoint_url}},
    }
    works(connect(**keys(server), extra=extra))


def test_the_connection_wins_over_the_worker(
    monkeypatch: pytest.MonkeyPatch, server: GuardedS3, connect: Callable[..., str]
):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "of the worker")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere")
    works(connect(**keys(server), extra=through(server, verify=True)))


def test_an_empty_connection_leaves_it_to_the_worker(
    monkeypatch: pytest.MonkeyPatch, server: GuardedS3, connect: Callable[..., str]
):
    key, secret = server.keys()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    works(connect(conn_type="aws", extra=through(server)))


# Certificates


def test_a_certificate_must_be_believed_unless_the_connection_says_otherwise(
    server: GuardedS3, connect: Callable[..., str]
):
    def over_tls(**extra: Any) -> str:
        return connect(**keys(server), extra={"endpoint_url": server.https_url, **extra})

    assert "verify in the connection" in refused(over_tls()).hint
    works(over_tls(verify=False))
    works(over_tls(verify=str(server.certificates.authority)))


def test_a_bundle_that_is_not_there_is_named(
    server: GuardedS3, connect: Callable[..., str], tmp_path: Path
):
    bundle = str(tmp_path / "no.pem")
    extra = {"endpoint_url": server.https_url, "verify": bundle}
    name = connect(**keys(server), extra=extra)
    error = refused(name)
    assert bundle in error.message
    assert f"verify of the connection {name}" in error.message


# Profiles and roles


def write_profile(monkeypatch: pytest.MonkeyPatch, folder: Path, server: GuardedS3) -> None:
    key, secret = server.keys()
    text = f"[models]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
    (folder / "credentials").write_text(text)
    (folder / "config").write_text(f"[profile models]\nendpoint_url = {server.endpoint_url}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))


def test_a_profile_brings_its_keys_and_its_endpoint(
    monkeypatch: pytest.MonkeyPatch,
    server: GuardedS3,
    connect: Callable[..., str],
    tmp_path: Path,
):
    write_profile(monkeypatch, tmp_path, server)
    works(connect(conn_type="aws", extra={"profile_name": "models"}))


def test_a_profile_that_is_not_there_is_named(connect: Callable[..., str]):
    error = refused(connect(conn_type="aws", extra={"profile_name": "nowhere"}))
    assert "profile_name" in error.message
    assert "nowhere" in error.message


def test_a_role_is_assumed(server: GuardedS3, connect: Callable[..., str]):
    name = connect(**keys(server), extra=through(server, role_arn=ROLE))
    handed_on = bucket_environment(name, BUCKET)
    assert handed_on["AWS_ACCESS_KEY_ID"] != server.keys()[0]
    assert handed_on["AWS_SESSION_TOKEN"]
    works(name)


def test_a_role_is_assumed_from_a_profile(
    monkeypatch: pytest.MonkeyPatch,
    server: GuardedS3,
    connect: Callable[..., str],
    tmp_path: Path,
):
    write_profile(monkeypatch, tmp_path, server)
    works(connect(conn_type="aws", extra=through(server, profile_name="models", role_arn=ROLE)))


def test_a_role_is_asked_for_with_its_external_id_and_for_so_long(
    server: GuardedS3, connect: Callable[..., str]
):
    asked_for = {"ExternalId": "of-the-owner", "DurationSeconds": 7200}
    with local_http(lambda _asked: assumed(server), **{"Content-Type": "text/xml"}) as service:
        extra = through(
            server,
            role_arn=ROLE,
            assume_role_kwargs=asked_for,
            service_config={"sts": {"endpoint_url": service.url}},
        )
        works(connect(**keys(server), extra=extra))
    body = service.asked[0].body.decode()
    assert "ExternalId=of-the-owner" in body
    assert "DurationSeconds=7200" in body


def test_a_role_is_assumed_by_a_web_identity(
    server: GuardedS3, identities: Identities, connect: Callable[..., str], tmp_path: Path
):
    (tmp_path / "token").write_text(identities.token())
    extra = through(
        server,
        role_arn=POD_ROLE,
        assume_role_method="assume_role_with_web_identity",
        assume_role_with_web_identity_federation="file",
        assume_role_with_web_identity_token_file=str(tmp_path / "token"),
    )
    works(connect(conn_type="aws", extra=extra))


def test_a_role_that_is_not_given_is_terminal(server: GuardedS3, connect: Callable[..., str]):
    error = refused(connect(**keys(server), extra=through(server, role_arn=OTHER_ROLE)))
    assert "role_arn of the connection" in error.message
    assert "AccessDenied" in error.message
    assert server.keys()[1] not in f"{error} {error.details}"


def test_a_token_service_that_is_away_is_transient(server: GuardedS3, connect: Callable[..., str]):
    away = {"sts": {"endpoint_url": f"http://127.0.0.1:{free_port()}"}}
    extra = through(server, role_arn=ROLE, service_config=away)
    refused(connect(**keys(server), extra=extra), TransientError)


# Fields that are wrong


def test_a_login_without_a_password_is_refused(connect: Callable[..., str]):
    error = refused(connect(conn_type="aws", login="somebody"))
    assert "no password" in error.message


def test_an_extra_field_that_is_no_json_is_refused(connect: Callable[..., str]):
    error = refused(connect(conn_type="aws", login="a", password="b", extra="{endpoint_url: x"))
    assert "extra field" in error.message


def test_a_way_to_a_role_that_does_not_exist_is_refused(connect: Callable[..., str]):
    extra = {"role_arn": ROLE, "assume_role_method": "by_magic"}
    assert "by_magic" in refused(connect(conn_type="aws", extra=extra)).message


def test_a_connection_that_is_not_there_is_named():
    assert "no Airflow connection nowhere" in refused("nowhere").message


def test_a_public_bucket_is_asked_without_a_signature(connect: Callable[..., str]):
    with local_http(lambda _asked: (200, "content"), ETag='"1"') as public:
        extra = {"endpoint_url": public.url, "config_kwargs": {"signature_version": "unsigned"}}
        name = connect(conn_type="aws", extra=extra)
        found = open_bucket(PublishSpec(base_uri=BUCKET, connection=name)).get("x")
    assert found is not None
    assert "authorization" not in public.asked[0].headers


# Secrets


class Task(SimpleNamespace):
    """A task instance that keeps what is pushed."""

    def xcom_push(self, *, key: str, value: Any) -> None:
        self.left[key] = value


@pytest.mark.parametrize("reachable", [True, False])
def test_secrets_stay_out_of_logs_xcoms_requests_and_arguments(
    monkeypatch: pytest.MonkeyPatch,
    server: GuardedS3,
    connect: Callable[..., str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    *,
    reachable: bool,
):
    """One step runs as Airflow runs it; its interpreter keeps all that it is given."""
    caplog.set_level(logging.INFO)
    extra = through(server, role_arn=ROLE)
    if not reachable:
        extra["endpoint_url"] = server.https_url
    name = connect(**keys(server), extra=extra)
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nfor each; do echo "$each"; cat "$each" 2>/dev/null; done > {tmp_path}/given\n'
        f"env > {tmp_path}/environment\n"
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    file = write_spec(tmp_path, extra=f"execution: {{python: {python}}}\n")
    text = file.read_text("utf-8").replace('"s3://models"', f'"{BUCKET}", connection: {name}')
    file.write_text(text, "utf-8")
    monkeypatch.setenv("SLIPWAY_DEFINITIONS", str(PROJECT / "include/models"))
    monkeypatch.setenv("SLIPWAY_WORKSPACE", str(tmp_path / "workspace"))
    spec = load_spec(file)
    planned = next(step for step in plan_build(spec) if step.step == "check")
    check = CheckOperator.of(
        Work(spec, file, planned), task_id="check", dag=DAG("tiny__build", schedule=None)
    )
    task = Task(dag_id="tiny__build", run_id="run", left={})
    context = {"ti": task, "run_id": "run", "params": {}}
    outcome: Any = None
    try:
        outcome = CheckOperator.execute.__wrapped__(check, context)
    except TerminalError as error:
        outcome = [str(error), repr(error), error.details]
    assert ("details" in outcome) is reachable, outcome
    given = (tmp_path / "given").read_text()
    assert "slipway.run" in given
    assert BUCKET in given
    shown = json.dumps([outcome, task.left, check.request, given, caplog.text], default=str)
    lines = (tmp_path / "environment").read_text().splitlines()
    handed_on = dict(line.partition("=")[::2] for line in lines)
    for secret in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        assert handed_on[secret]
        assert handed_on[secret] not in shown
    assert server.keys()[1] not in shown
