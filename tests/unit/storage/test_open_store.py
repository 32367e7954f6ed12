from __future__ import annotations

import pytest

from slipway.errors import TerminalError
from slipway.storage import SCHEMES, PreconditionFailed, StoreCredentials, open_store

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "private",
    "AWS_SESSION_TOKEN": "also-private",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
}


def test_an_unknown_scheme_names_those_that_exist():
    with pytest.raises(TerminalError, match="ftp://") as caught:
        open_store("ftp://models/base")
    assert all(f"{scheme}://" in caught.value.hint for scheme in SCHEMES)


def test_an_address_without_a_bucket_is_refused():
    with pytest.raises(TerminalError, match="names no bucket"):
        open_store("s3:///prefix", StoreCredentials(access_key_id="key"))


def test_opening_contacts_nothing_and_shows_no_secret():
    store = open_store("s3://models/a/b/", StoreCredentials.from_environment(ENVIRONMENT))
    assert store.uri == "s3://models/a/b"
    assert "private" not in repr(store)


def test_credentials_come_from_the_standard_environment():
    credentials = StoreCredentials.from_environment(ENVIRONMENT)
    assert credentials.access_key_id == "key"
    assert credentials.region == "eu-west-1"
    assert credentials.endpoint_url == "http://127.0.0.1:1"
    assert credentials.to_environment() == {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "private",
        "AWS_SESSION_TOKEN": "also-private",
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
    }


def test_the_more_specific_variable_wins_and_an_empty_one_is_unset():
    credentials = StoreCredentials.from_environment(
        ENVIRONMENT
        | {
            "AWS_REGION": "eu-north-1",
            "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:2",
            "AWS_SESSION_TOKEN": "",
        }
    )
    assert credentials.region == "eu-north-1"
    assert credentials.endpoint_url == "http://127.0.0.1:2"
    assert credentials.session_token is None


GOOGLE = {
    "SLIPWAY_GOOGLE_KEYFILE_JSON": '{"private_key": "private"}',
    "GOOGLE_APPLICATION_CREDENTIALS": "/key.json",
    "GOOGLE_CLOUD_PROJECT": "p",
}


@pytest.mark.parametrize(
    ("endpoint", "url", "anonymous"),
    [
        ({}, None, False),
        ({"STORAGE_EMULATOR_HOST": "127.0.0.1:4443"}, "http://127.0.0.1:4443", True),
        ({"STORAGE_EMULATOR_HOST": "https://gcs"}, "https://gcs", True),
        ({"CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": "https://gcs/"}, "https://gcs/", False),
    ],
)
def test_google_credentials_come_from_the_standard_environment_and_go_on_as_they_came(
    endpoint: dict[str, str], url: str | None, anonymous: bool
):
    credentials = StoreCredentials.from_environment(GOOGLE | endpoint)
    google = credentials.google
    assert (google.endpoint_url, google.anonymous) == (url, anonymous)
    assert (google.key_file, google.project) == ("/key.json", "p")
    assert "private" not in f"{credentials!r} {credentials} {credentials.model_dump_json()}"
    assert StoreCredentials.from_environment(credentials.to_environment()) == credentials


def test_secrets_show_nowhere():
    credentials = StoreCredentials.from_environment(ENVIRONMENT)
    shown = f"{credentials!r} {credentials} {credentials.model_dump_json()}"
    assert "private" not in shown


def test_a_lost_precondition_crosses_processes():
    import pickle

    error = pickle.loads(pickle.dumps(PreconditionFailed("a/b")))
    assert isinstance(error, PreconditionFailed)
    assert error.subject == "a/b"


@pytest.mark.parametrize(
    "endpoint", ["localhost:9000", "https://", "http://host:9000 ", "http://["]
)
def test_an_endpoint_that_is_no_address_is_named(endpoint: str):
    credentials = StoreCredentials.model_validate(
        {"access_key_id": "who", "secret_access_key": "what", "endpoint_url": endpoint}
    )
    with pytest.raises(TerminalError, match="is no address of an S3 server") as told:
        open_store("s3://bucket", credentials)
    assert "AWS_ENDPOINT_URL_S3" in told.value.hint
