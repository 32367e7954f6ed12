"""docs/connections.md names what the code reads."""

from __future__ import annotations

import pytest

from slipway.storage import StoreCredentials
from support.specs import PROJECT

PAGE = (PROJECT / "docs/connections.md").read_text("utf-8")
EVERYTHING = StoreCredentials.model_validate(
    {
        "access_key_id": "a",
        "secret_access_key": "b",
        "session_token": "c",
        "profile": "d",
        "anonymous": True,
        "region": "e",
        "endpoint_url": "http://f",
        "verify": False,
        "ca_bundle": "g",
        "google": {
            "key_json": "h",
            "key_file": "i",
            "impersonate": ("j", "k"),
            "project": "l",
            "quota_project": "m",
            "endpoint_url": "http://n",
        },
    }
)


@pytest.mark.parametrize("variable", sorted(EVERYTHING.to_environment()))
def test_every_variable_is_explained(variable: str):
    assert f"`{variable}`" in PAGE
