"""A SavedModel that somebody drops in a bucket becomes a version as a trained one does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from slipway.cli.main import app
from slipway.content import folder_files
from slipway.serving.catalog import list_versions
from slipway.serving.layout import resolve
from slipway.storage import open_store
from support.planted_models import plant
from support.specs import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.local.s3_server import S3Server
    from slipway.storage import Store

MODEL = "breast_cancer"
IMPORTED = PROJECT / "include" / "models" / MODEL / "saved_model"
SPEC = """\
model: breast_cancer
definition: breast_cancer
incoming: {{uri: "{place}/drops", marker: COMPLETE}}
variants:
  lite: {{tflite: {{precision: float32}}}}
gates: {{metrics: {{accuracy: {{floor: 0.93}}}}}}
objective: {{minimise: size_bytes}}
publish: {{base_uri: "{place}/published"}}
serve: {{prefer_tflite_model: true}}
rollout: {{health: {{checks: {{error_ratio: {{largest: 0.01}}}}}}}}
"""


@pytest.fixture
def place(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in s3_server.credentials.to_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLIPWAY_DEFINITIONS", str(PROJECT / "include" / "models"))
    return f"s3://tests/{uuid4().hex}"


@pytest.fixture
def spec(place: str, tmp_path: Path) -> Path:
    file = tmp_path / f"{MODEL}.yaml"
    file.write_text(SPEC.format(place=place))
    return file


def drop(place: str, folder: Path, name: str) -> str:
    """Copy a folder as somebody would who is no part of Slipway."""
    store = open_store(f"{place}/drops")
    for entry in folder_files(folder):
        store.upload(folder / entry.path, f"{name}/{entry.path}")
    store.put(f"{name}/COMPLETE", b"now")
    return f"{place}/drops/{name}"


def build(spec: Path, uri: str) -> dict[str, Any]:
    """Build for a dropped model: what every step left, and the error if there is one."""
    workspace = str(spec.parent / "workspace")
    done = CliRunner().invoke(
        app, ["run", str(spec), "--incoming", uri, "--workspace", workspace, "--json"]
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def published(place: str) -> Store:
    return open_store(f"{place}/published")


def test_a_dropped_model_is_optimised_validated_and_published(place: str, spec: Path) -> None:
    found = build(spec, drop(place, IMPORTED, "first"))
    assert found["error"] is None
    assert "lite.validate" in found["outcomes"]
    store = published(place)
    assert [(each.version, each.state) for each in list_versions(store, MODEL)] == [
        (1, "published")
    ]
    manifest = resolve(store, MODEL, 1)
    assert manifest.variant == "lite"
    assert manifest.metrics["accuracy"] > 0.93
    # The same model in another folder is the same work, and the same version.
    again = build(spec, drop(place, IMPORTED, "second"))
    assert again["outcomes"]["original.import"]["result"]["reused"]
    assert again["outcomes"]["publish"]["result"]["details"]["already_published"]


def test_a_model_that_writes_files_is_refused_before_it_is_loaded(
    place: str, spec: Path, tmp_path: Path
) -> None:
    plant(tmp_path / "planted", "writes_in_nested_function")
    uri = drop(place, tmp_path / "planted" / "writes_in_nested_function", "evil")
    error = build(spec, uri)["error"]
    assert error["kind"] == "terminal"
    assert "refused and was not loaded: WriteFile (node 'WriteFile' of" in error["message"]
    assert "incoming.allow_operations: [WriteFile]" in error["hint"]
    assert not (tmp_path / "planted" / "secret.txt").exists()
    assert list_versions(published(place), MODEL) == []
    assert "original.validate" not in build(spec, uri)["outcomes"]

    allowed = spec.read_text().replace("COMPLETE}", "COMPLETE, allow_operations: [WriteFile]}")
    spec.write_text(allowed)
    error = build(spec, uri)["error"]
    # It is loaded now, and turns out to be no model for this data.
    assert "WriteFile" not in error["message"]


def test_a_folder_elsewhere_is_refused_before_anything_is_read(place: str, spec: Path) -> None:
    found = build(spec, f"{place}/drops/../published/{MODEL}")
    assert "is not a folder directly below" in found["error"]["message"]
