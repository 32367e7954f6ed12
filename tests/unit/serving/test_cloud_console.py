from __future__ import annotations

import pytest

from slipway.serving.cloud_console import console_address

AWS = "https://console.aws.amazon.com/s3/buckets/models"
GOOGLE = "https://console.cloud.google.com/storage/browser/models"


@pytest.mark.parametrize(
    ("uri", "environ", "address"),
    [
        ("s3://models/team/digits/3", {}, f"{AWS}?prefix=team%2Fdigits%2F3%2F"),
        (
            "s3://models/digits",
            {"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "https://s3.eu-west-1.amazonaws.com"},
            f"{AWS}?region=eu-west-1&prefix=digits%2F",
        ),
        ("s3://models/digits", {"AWS_ENDPOINT_URL": "http://127.0.0.1:8333"}, ""),
        ("s3://models/digits", {"AWS_ENDPOINT_URL": "https://amazonaws.com.example"}, ""),
        ("gs://models/digits/3", {}, f"{GOOGLE}/digits/3"),
        ("gs://models/digits/3", {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:4443"}, ""),
        ("file:///published/digits", {}, ""),
    ],
)
def test_only_the_clouds_own_servers_have_a_console(
    uri: str, environ: dict[str, str], address: str
):
    assert console_address(uri, environ) == address


def test_another_servers_console_is_named_by_a_template():
    template = "https://minio.example:9001/browser/{bucket}/{prefix}"
    environ = {"AWS_ENDPOINT_URL": "https://minio.example"}
    found = console_address("s3://models/team a/digits/3", environ, template)
    assert found == "https://minio.example:9001/browser/models/team%20a/digits/3/"
    assert console_address("file:///published/digits", {}, template) == ""
