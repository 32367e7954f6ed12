from __future__ import annotations

import json
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest
from google.protobuf import json_format  # noqa: TID253 - the real parser is the judge
from tritonclient.grpc import model_config_pb2  # noqa: TID253 - as above
from typer.testing import CliRunner

from slipway.cli.main import app
from slipway.errors import TerminalError
from slipway.evaluation.facts import TensorFacts
from slipway.serving.channels import move_channel
from slipway.serving.publish import publish
from slipway.serving.serve_config.triton import TritonPlan, triton_files
from slipway.serving.triton import TritonKind, model_config
from slipway.storage import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.storage import Store

TENSORS = {"x": TensorFacts(dtype="float32", shape=(-1, 4))}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two versions of ONNX, then an engine."""
    store = open_store(str(tmp_path / "bucket"))
    kinds: tuple[TritonKind, ...] = ("onnx", "onnx", "tensorrt")
    for number, kind in enumerate(kinds):
        folder = tmp_path / f"model{number}"
        folder.mkdir()
        (folder / ("model.onnx" if kind == "onnx" else "model.plan")).write_bytes(bytes([number]))
        text = model_config("tiny", kind, TENSORS, TENSORS)
        publish(store, "tiny", folder, variant=kind, metrics={}, triton_config=text)
    return store


@pytest.mark.parametrize(
    ("base_uri", "endpoint", "repository"),
    [
        ("s3://models/team", None, "s3://models/team"),
        ("s3://models", "http://s3:8333", "s3://http://s3:8333/models"),
        ("s3://models", "https://s3.example", "s3://https://s3.example:443/models"),
        ("gs://models", None, "gs://models"),
        ("file:///srv/published", None, "/models"),
    ],
)
def test_the_repository_is_written_as_triton_writes_it(
    base_uri: str, endpoint: str | None, repository: str
) -> None:
    assert TritonPlan("tiny", base_uri, endpoint).repository == repository


def test_triton_is_started_in_explicit_mode_and_told_what_to_load(store: Store) -> None:
    written = triton_files(TritonPlan("tiny", store.uri), store, {1, 2})
    script = shlex.split(written["run.sh"], comments=True)
    assert "--model-control-mode=explicit" in script
    assert "--gpus" in script
    body = json.loads(written["load.json"])
    config = json_format.Parse(body["parameters"]["config"], model_config_pb2.ModelConfig())
    assert list(config.version_policy.specific.versions) == [1, 2]
    assert config.platform == "onnxruntime_onnx"
    assert "/v2/repository/models/tiny/load" in written["load.sh"]
    for name in ("run.sh", "load.sh"):
        subprocess.run(["sh", "-n"], input=written[name], text=True, check=True)


def test_without_channels_the_newest_version_is_loaded_with_its_own_config(store: Store) -> None:
    body = json.loads(triton_files(TritonPlan("tiny", store.uri), store, ())["load.json"])
    config = json_format.Parse(body["parameters"]["config"], model_config_pb2.ModelConfig())
    assert list(config.version_policy.specific.versions) == [3]
    assert config.platform == "tensorrt_plan"


def test_versions_of_two_kinds_cannot_be_loaded_together(store: Store) -> None:
    with pytest.raises(TerminalError, match="versions 2, 3 have different configs"):
        triton_files(TritonPlan("tiny", store.uri), store, {2, 3})


def test_the_command_follows_the_channels(store: Store, tmp_path: Path) -> None:
    found = store.get("tiny/2/slipway.json")
    assert found is not None
    digest = json.loads(found.data)["digest"]
    move_channel(store, "tiny", "stable", version=2, digest=digest, expected_generation=0)
    arguments = ["serve-config", f"{store.uri}/tiny", "--server", "triton", "--channels"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    body = json.loads((tmp_path / "out" / "load.json").read_text())
    assert json.loads(body["parameters"]["config"])["version_policy"] == {
        "specific": {"versions": ["2"]}
    }
    assert (tmp_path / "out" / "load.sh").stat().st_mode & 0o111
