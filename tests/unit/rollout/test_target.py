from __future__ import annotations

import pytest

from slipway.errors import TerminalError
from slipway.rollout.target import Target


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("SLIPWAY_MODEL_SERVER_URL", "server_url"),
        ("SLIPWAY_MODEL_CONFIG_FILE", "config_file"),
        ("SLIPWAY_PROMETHEUS_URL", "prometheus_url"),
    ],
)
def test_what_is_missing_is_named(name: str, attribute: str) -> None:
    with pytest.raises(TerminalError) as caught:
        getattr(Target({}), attribute)
    assert caught.value.subject == name
    assert str(getattr(Target({name: "here"}), attribute)) == "here"


@pytest.mark.parametrize(
    ("base_uri", "seen_as", "path"),
    [
        ("s3://bucket/prefix", "", "s3://bucket/prefix/digits"),
        ("file:///models/", "", "/models/digits"),
        ("s3://bucket", "/models", "/models/digits"),
    ],
)
def test_the_server_finds_the_model(base_uri: str, seen_as: str, path: str) -> None:
    target = Target({"SLIPWAY_MODEL_BASE_PATH": seen_as})
    assert target.base_path(base_uri, "digits") == path
