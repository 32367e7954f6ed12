from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from slipway.content import bytes_digest, tree_digest
from slipway.contracts import ArtifactRef, StepFailure, StepOutcome, StepRequest, StepResult
from slipway.errors import TerminalError
from slipway.run import execute
from slipway.serving.catalog import list_versions
from slipway.serving.channels import move_channel
from slipway.serving.layout import Layout, resolve
from slipway.storage import open_store
from slipway.storage.local import LocalStore
from support.models import write_model

if TYPE_CHECKING:
    from pathlib import Path

GOLDEN = b'{"requests": []}'


def request(tmp_path: Path, *, seed: int = 1, **changes: Any) -> StepRequest:
    folder = tmp_path / f"artifact{seed}"
    if not folder.exists():
        write_model(folder / "saved_model", seed=seed)
        (folder / "weights.npz").write_bytes(b"not served")
    golden = tmp_path / "golden.json"
    golden.write_bytes(GOLDEN)
    artifact = ArtifactRef(kind="keras", digest=tree_digest(folder), uri=str(folder), size_bytes=1)
    details = {
        "winner": "pruned",
        "winner_artifact": artifact.model_dump(mode="json"),
        "golden": {"uri": str(golden), "digest": bytes_digest(GOLDEN)},
        "metrics": {"accuracy": 0.97, "largest_difference": float("inf")},
        "chain": ["prune"],
        "report": "report.html",
    }
    result = StepResult(step="select", model="digits", details=details | changes)
    return StepRequest(
        step="publish",
        model="digits",
        config={"base_uri": f"file://{tmp_path / 'bucket'}", "keep_versions": 2},
        results={"select": StepOutcome(result=result)},
        parameters={"run_id": "manual__1", "spec_digest": "f" * 64},
        workspace=str(tmp_path / "workspace"),
    )


def test_the_winner_is_published_with_its_golden_requests(tmp_path: Path) -> None:
    found = execute(request(tmp_path)).details
    store = open_store(str(tmp_path / "bucket"))
    manifest = resolve(store, "digits", found["version"])
    assert found["digest"] == manifest.digest
    assert found["already_published"] is False
    assert found["uploaded_bytes"] == manifest.size_bytes
    assert {entry.path for entry in manifest.files} >= {"saved_model.pb"}
    assert "weights.npz" not in {entry.path for entry in manifest.files}
    assert manifest.metrics == {"accuracy": 0.97}
    assert manifest.provenance.run == "manual__1"
    assert [technique.name for technique in manifest.provenance.techniques] == ["prune"]
    golden = store.get(Layout("digits").golden(found["version"]))
    assert golden is not None
    assert golden.data == GOLDEN
    assert bytes_digest(GOLDEN) == manifest.golden_digest


def test_published_again_it_is_the_same_version(tmp_path: Path) -> None:
    first = execute(request(tmp_path)).details
    again = execute(request(tmp_path)).details
    assert again["already_published"] is True
    assert again["uploaded_bytes"] == 0
    assert (again["version"], again["digest"]) == (first["version"], first["digest"])


def test_the_oldest_go_but_never_stable(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "bucket"))
    first = execute(request(tmp_path, seed=1)).details
    move_channel(
        store, "digits", "stable", version=1, digest=first["digest"], expected_generation=0
    )
    removed = [execute(request(tmp_path, seed=seed)).details for seed in (2, 3, 4)]
    assert [details["removed_versions"] for details in removed] == [[], [], [2]]
    assert [info.version for info in list_versions(store, "digits")] == [4, 3, 1]


def test_what_was_changed_since_its_validation_is_not_published(tmp_path: Path) -> None:
    asked = request(tmp_path)
    (tmp_path / "artifact1" / "saved_model" / "saved_model.pb").write_bytes(b"changed")
    with pytest.raises(TerminalError, match="was validated") as caught:
        execute(asked)
    assert caught.value.subject == str(tmp_path / "artifact1")
    assert list_versions(open_store(str(tmp_path / "bucket")), "digits") == []


def test_golden_requests_that_were_changed_are_not_published(tmp_path: Path) -> None:
    asked = request(tmp_path)
    (tmp_path / "golden.json").write_text(json.dumps({"requests": ["other"]}))
    with pytest.raises(TerminalError, match="not the validated ones"):
        execute(asked)


def test_without_a_winner_the_reason_is_passed_on(tmp_path: Path) -> None:
    failure = StepFailure(kind="terminal", message="no variant passed", hint="loosen the gates")
    asked = request(tmp_path).model_copy(
        update={"results": {"select": StepOutcome(failure=failure)}}
    )
    with pytest.raises(TerminalError, match="no variant passed"):
        execute(asked)


def test_who_may_not_remove_old_versions_is_told_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_store: LocalStore, prefix: str) -> None:
        raise TerminalError(f"Could not delete {prefix}: 403.", hint="grant it")

    monkeypatch.setattr(LocalStore, "prove_removal", refuse)
    with pytest.raises(TerminalError, match="Could not delete digits/1"):
        execute(request(tmp_path))
    store = open_store(str(tmp_path / "bucket"))
    assert [info.path for info in store.list("")] == ["digits/_slipway/ledger.json"]
    monkeypatch.undo()
    execute(request(tmp_path))
    monkeypatch.setattr(LocalStore, "prove_removal", refuse)
    assert execute(request(tmp_path)).details["already_published"] is True


def test_the_fallback_of_engines_is_published_first_and_named_by_their_manifest(
    tmp_path: Path,
) -> None:
    other = dict(request(tmp_path, seed=2).results["select"].unwrap().details)
    del other["report"]
    engine = {
        "backend": "tf_trt",
        "tensorrt": "8.6.1",
        "compute_capability": "9.0",
        "gpu": "a GPU",
    }
    asked = request(tmp_path, engine=engine, fallback={**other, "winner": "lite"})
    found = execute(asked).details
    store = open_store(str(tmp_path / "bucket"))
    manifest = resolve(store, "digits", found["version"])
    assert manifest.version == 2
    assert manifest.engine is not None
    assert manifest.engine.fallback is not None
    fallback = resolve(store, "digits", manifest.engine.fallback.version)
    assert (fallback.version, fallback.variant, fallback.engine) == (1, "lite", None)
    assert fallback.digest == manifest.engine.fallback.digest
    again = execute(asked).details
    assert (again["version"], again["already_published"]) == (2, True)


def test_a_version_for_triton_comes_with_its_config(tmp_path: Path) -> None:
    folder = tmp_path / "graph"
    (folder / "onnx").mkdir(parents=True)
    (folder / "onnx" / "model.onnx").write_bytes(b"graph")
    artifact = ArtifactRef(kind="onnx", digest=tree_digest(folder), uri=str(folder), size_bytes=5)
    tensor = {"dtype": "float32", "shape": [-1, 4]}
    execute(
        request(
            tmp_path,
            winner_artifact=artifact.model_dump(mode="json"),
            inputs={"x": tensor},
            outputs={"y": tensor},
        )
    )
    text = (tmp_path / "bucket" / "digits" / "config.pbtxt").read_text()
    assert 'platform: "onnxruntime_onnx"' in text
    assert (tmp_path / "bucket" / "digits" / "1" / "model.onnx").is_file()
