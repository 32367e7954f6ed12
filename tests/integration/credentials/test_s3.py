"""S3 as the standard environment says who we are, against a server that checks it."""

from __future__ import annotations

import builtins
import time
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from slipway.errors import SlipwayError, TerminalError, TransientError
from slipway.local.processes import free_port
from slipway.storage import StoreCredentials, open_store
from support.guarded_s3 import OTHER_ROLE, POD_ROLE, ROLE, GuardedS3, Identities
from support.local_http import local_http
from support.temporary_keys import metadata, temporary_keys

if TYPE_CHECKING:
    from pathlib import Path


def works() -> None:
    """Whoever the environment says we are may do everything in the bucket."""
    open_store("s3://tests/works").check_access()


def refused(kind: type[SlipwayError] = TerminalError, within: float = 10) -> SlipwayError:
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        works()
    assert time.monotonic() - began < within
    assert caught.value.__cause__ is None
    return caught.value


def as_the_owner(monkeypatch: pytest.MonkeyPatch, server: GuardedS3, url: str) -> None:
    key, secret = server.keys()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)


def test_temporary_keys_need_their_token(monkeypatch: pytest.MonkeyPatch, server: GuardedS3):
    keys = temporary_keys(server)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretAccessKey"])
    assert "403" in refused().message
    monkeypatch.setenv("AWS_SESSION_TOKEN", keys["SessionToken"])
    works()


def test_given_credentials_are_not_completed_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, server: GuardedS3
):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of somebody else")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    open_store("s3://tests/given", server.credentials).check_access()


def test_a_key_without_its_secret_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    assert refused().subject == "AWS_SECRET_ACCESS_KEY"


# Certificates


def test_a_certificate_of_an_unknown_authority_is_refused_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, server: GuardedS3
):
    as_the_owner(monkeypatch, server, server.https_url)
    error = refused()
    assert "not known here" in error.message
    assert "AWS_CA_BUNDLE" in error.hint
    assert "verify" in error.hint


def test_a_certificate_for_another_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, server: GuardedS3
):
    as_the_owner(monkeypatch, server, server.https_url.replace("127.0.0.1", "localhost"))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(server.certificates.authority))
    assert "for another name" in refused().message


def test_the_authority_can_be_given(monkeypatch: pytest.MonkeyPatch, server: GuardedS3):
    as_the_owner(monkeypatch, server, server.https_url)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(server.certificates.authority))
    works()


def test_verification_can_be_turned_off(monkeypatch: pytest.MonkeyPatch, server: GuardedS3):
    as_the_owner(monkeypatch, server, server.https_url)
    monkeypatch.setenv("SLIPWAY_S3_VERIFY", "false")
    works()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "No such file"),
        ("no certificate", "no certificate in PEM form"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "builder error"),
    ],
)
def test_an_unreadable_bundle_is_named_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch,
    server: GuardedS3,
    tmp_path: Path,
    content: str | None,
    problem: str,
):
    as_the_owner(monkeypatch, server, server.https_url)
    bundle = tmp_path / "bundle.pem"
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(TerminalError, match=problem) as caught:
        open_store("s3://tests/x")
    assert str(bundle) in f"{caught.value.message} {caught.value.hint}"
    assert "AWS_CA_BUNDLE" in f"{caught.value.message} {caught.value.hint}"


# Profiles


def write_files(monkeypatch: pytest.MonkeyPatch, folder: Path, keys: str, config: str = "") -> None:
    for name, text in (("AWS_SHARED_CREDENTIALS_FILE", keys), ("AWS_CONFIG_FILE", config)):
        (folder / name).write_text(text)
        monkeypatch.setenv(name, str(folder / name))


def section(server: GuardedS3, name: str) -> str:
    key, secret = server.keys()
    return f"[{name}]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"


def test_a_profile_has_keys_and_endpoint_of_its_own(
    monkeypatch: pytest.MonkeyPatch, server: GuardedS3, tmp_path: Path
):
    config = f"[profile models]\nendpoint_url = {server.endpoint_url}\nregion = eu-north-1\n"
    write_files(monkeypatch, tmp_path, section(server, "models"), config)
    monkeypatch.setenv("AWS_PROFILE", "models")
    works()


def test_the_default_profile_needs_no_name(
    monkeypatch: pytest.MonkeyPatch, server: GuardedS3, tmp_path: Path
):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(section(server, "default"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint_url)
    works()


def test_keys_of_the_environment_come_before_a_profile(
    monkeypatch: pytest.MonkeyPatch, server: GuardedS3
):
    as_the_owner(monkeypatch, server, server.endpoint_url)
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    works()


def test_a_profile_may_assume_a_role_over_tls_with_its_own_authority(
    monkeypatch: pytest.MonkeyPatch, server: GuardedS3, tmp_path: Path
):
    config = (
        f"[profile publishing]\nrole_arn = {ROLE}\nsource_profile = models\n"
        f"endpoint_url = {server.https_url}\nregion = us-east-1\n"
        f"ca_bundle = {server.certificates.authority}\n"
    )
    write_files(monkeypatch, tmp_path, section(server, "models"), config)
    monkeypatch.setenv("AWS_PROFILE", "publishing")
    works()


def test_a_role_that_is_not_given_names_the_profile_and_the_refusal(
    monkeypatch: pytest.MonkeyPatch, server: GuardedS3, tmp_path: Path
):
    config = (
        f"[profile publishing]\nrole_arn = {OTHER_ROLE}\nsource_profile = models\n"
        f"endpoint_url = {server.endpoint_url}\nregion = us-east-1\n"
    )
    write_files(monkeypatch, tmp_path, section(server, "models"), config)
    monkeypatch.setenv("AWS_PROFILE", "publishing")
    error = refused()
    assert "AWS_PROFILE" in error.message
    assert "AssumeRole" in error.message
    assert "trust policy" in error.hint
    assert server.keys()[1] not in f"{error} {error.details}"


def test_a_token_service_that_is_away_may_come_back(
    monkeypatch: pytest.MonkeyPatch, server: GuardedS3, tmp_path: Path
):
    config = (
        f"[profile publishing]\nrole_arn = {ROLE}\nsource_profile = models\nregion = us-east-1\n"
        f"endpoint_url = http://127.0.0.1:{free_port()}\n"
    )
    write_files(monkeypatch, tmp_path, section(server, "models"), config)
    monkeypatch.setenv("AWS_PROFILE", "publishing")
    assert "token service" in refused(TransientError, within=30).hint


def test_a_profile_that_is_not_there_is_named():
    with pytest.raises(TerminalError, match="nowhere") as caught:
        open_store("s3://tests/x", StoreCredentials(profile="nowhere"))
    assert caught.value.subject == "AWS_PROFILE"


def test_without_boto3_a_profile_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    import_ = builtins.__import__

    def without(name: str, *others: Any, **more: Any) -> Any:
        if name == "slipway.storage.s3_profile":
            raise ModuleNotFoundError(name="botocore")
        return import_(name, *others, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(TerminalError, match="AWS_PROFILE=models") as caught:
        open_store("s3://tests/x", StoreCredentials(profile="models"))
    assert ".[profiles]" in caught.value.hint


# What the platform says


def test_a_web_identity_becomes_a_role(
    monkeypatch: pytest.MonkeyPatch, server: GuardedS3, identities: Identities, tmp_path: Path
):
    as_a_pod(monkeypatch, server, tmp_path, identities.token())
    works()


def as_a_pod(monkeypatch: pytest.MonkeyPatch, server: GuardedS3, folder: Path, token: str) -> None:
    """What Kubernetes on Amazon puts into a pod, and where these servers are."""
    (folder / "token").write_text(token)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(folder / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", POD_ROLE)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.https_url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.https_url)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(server.certificates.authority))


def test_a_web_identity_whose_token_has_expired_is_refused(
    monkeypatch: pytest.MonkeyPatch, server: GuardedS3, identities: Identities, tmp_path: Path
):
    token = identities.token(lives=-600)
    as_a_pod(monkeypatch, server, tmp_path, token)
    error = refused()
    assert "AWS_ROLE_ARN" in error.message
    assert "AWS_WEB_IDENTITY_TOKEN_FILE" in error.hint
    assert token not in f"{error} {error.details}"


def test_a_web_identity_without_its_token_is_refused_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, server: GuardedS3, tmp_path: Path
):
    as_a_pod(monkeypatch, server, tmp_path, "")
    (tmp_path / "token").unlink()
    assert refused().subject == "AWS_WEB_IDENTITY_TOKEN_FILE"


def test_an_instance_has_the_role_of_its_metadata(
    monkeypatch: pytest.MonkeyPatch, server: GuardedS3
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint_url)
    with local_http(lambda asked: metadata(server, asked)) as machine:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", machine.url)
        works()
    assert [each.path.rpartition("/")[2] for each in machine.asked] == ["token", "", "machine"]
    assert machine.asked[1].headers["x-aws-ec2-metadata-token"] == "a session"


def test_keys_that_run_out_are_asked_for_anew(monkeypatch: pytest.MonkeyPatch, server: GuardedS3):
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint_url)
    with local_http(lambda asked: metadata(server, asked, lives=30)) as machine:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", machine.url)
        store = open_store("s3://tests/renewed")
        store.list("")
        before = len(machine.asked)
        until = time.monotonic() + 10
        while len(machine.asked) == before and time.monotonic() < until:
            store.list("")
    assert len(machine.asked) > before


@pytest.mark.parametrize("token_in_a_file", [True, False])
def test_a_container_has_the_role_of_its_agent(
    monkeypatch: pytest.MonkeyPatch, server: GuardedS3, tmp_path: Path, *, token_in_a_file: bool
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint_url)
    if token_in_a_file:
        (tmp_path / "token").write_text("allowed")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    else:
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "allowed")
    with local_http(lambda asked: metadata(server, asked)) as agent:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{agent.url}/keys")
        works()
    assert {each.headers["authorization"] for each in agent.asked} == {"allowed"}


def test_an_instance_without_a_role_is_told_what_to_give(monkeypatch: pytest.MonkeyPatch):
    with local_http(lambda _asked: (404, "")) as machine:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", machine.url)
        error = refused()
    assert "no keys are given" in error.message
    assert "AWS_ACCESS_KEY_ID" in error.hint


def test_a_metadata_service_that_is_not_there_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    assert "no keys are given" in refused().message


@pytest.mark.parametrize("metadata_off", ["true", ""])
def test_a_server_that_is_not_amazon_s_is_not_asked_as_the_machine(
    monkeypatch: pytest.MonkeyPatch, metadata_off: str
):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", metadata_off)
    with pytest.raises(TerminalError, match="No keys are given for the S3 endpoint") as caught:
        open_store("s3://models", StoreCredentials(endpoint_url="http://127.0.0.1:9"))
    assert caught.value.subject == "AWS_ACCESS_KEY_ID"


def test_nothing_at_all_is_refused_before_anything_is_asked():
    with pytest.raises(TerminalError, match="No keys are given for S3") as caught:
        open_store("s3://tests/x")
    assert "AWS_PROFILE" in caught.value.hint


def test_a_public_bucket_is_asked_without_a_signature(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    with local_http(lambda _asked: (200, "content"), ETag='"1"') as public:
        monkeypatch.setenv("AWS_ENDPOINT_URL", public.url)
        found = open_store("s3://tests").get("x")
    assert found is not None
    assert "authorization" not in public.asked[0].headers


def test_no_secret_shows_in_an_opened_store(server: GuardedS3):
    given = server.credentials.model_copy(update={"session_token": SecretStr("private-token")})
    store = open_store("s3://tests/x", given)
    shown = f"{store!r} {vars(store)} {given!r} {given.model_dump_json()}"
    assert server.keys()[1] not in shown
    assert "private-token" not in shown
