from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.content import FileEntry
from slipway.errors import TerminalError
from slipway.serving.layout import Layout, Manifest, find_manifest, parse_manifest, parse_version
from slipway.storage import open_store

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = Manifest(
    model="digits",
    version=3,
    digest="d" * 64,
    files=(FileEntry("saved_model.pb", 5, "a" * 64), FileEntry("variables/v", 7, "b" * 64)),
    variant="pruned",
    metrics={"accuracy": 0.97},
    created_at=datetime(2026, 11, 22, tzinfo=UTC),
)


def changed(**fields: Any) -> bytes:
    return json.dumps(json.loads(MANIFEST.to_bytes()) | fields).encode()


def test_paths_are_those_of_the_published_layout():
    layout = Layout("digits")
    assert layout.version_prefix(3) == "digits/3"
    assert layout.manifest(3) == "digits/3/slipway.json"
    assert layout.ledger == "digits/_slipway/ledger.json"
    assert layout.channel("stable") == "digits/_slipway/channels/stable.json"
    assert layout.golden(3) == "digits/_slipway/golden/3.json"
    assert layout.rollout(3, "r1") == "digits/_slipway/rollouts/3/r1.json"
    assert layout.edge(3) == "digits/_slipway/edge/3"


@pytest.mark.parametrize("name", ["0", "01", "-1", "+1", " 1", "1 ", "1.0", "٣", "1_0", "", "v1"])
def test_only_integers_from_one_without_leading_zeros_are_versions(name: str):
    assert parse_version(name) is None


@given(st.integers(min_value=1))
def test_every_version_is_named_by_itself(version: int):
    assert parse_version(str(version)) == version


def test_a_manifest_survives_storage():
    assert parse_manifest(MANIFEST.to_bytes(), "x") == MANIFEST
    assert MANIFEST.size_bytes == 12


def test_a_manifest_of_a_newer_schema_is_refused_by_its_number():
    with pytest.raises(
        TerminalError, match=r"x has schema 2; this Slipway reads up to 1"
    ) as caught:
        parse_manifest(changed(schema_version=2, whatever="comes"), "x")
    assert "Upgrade" in caught.value.hint


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"", "the document"),
        (b'{"schema_version": 1', "the document"),
        (b"[]", "the document"),
        (changed(version=0), "version"),
        (changed(digest="short"), "digest"),
        (changed(files=[{"path": "x"}]), "files.0.size"),
        (changed(metrics={"accuracy": "high"}), "metrics.accuracy"),
        (changed(more=1), "more"),
    ],
)
def test_a_damaged_manifest_names_the_field(data: bytes, field: str):
    with pytest.raises(TerminalError) as caught:
        parse_manifest(data, "digits/3/slipway.json")
    assert caught.value.message.startswith(f"digits/3/slipway.json is damaged: {field}: ")


def test_a_manifest_in_another_versions_folder_is_refused(tmp_path: Path):
    store = open_store(str(tmp_path))
    store.put("digits/4/slipway.json", MANIFEST.to_bytes())
    with pytest.raises(TerminalError, match="belongs to version 3 of digits"):
        find_manifest(store, "digits", 4)
