"""The step benchmark, on real SavedModels and TFLite models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from slipway.contracts import ArtifactRef
from slipway.errors import TerminalError
from slipway.evaluation.facts import Benchmark
from slipway.steps import benchmark
from slipway.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.steps.base import StepContext


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def original(workspace: Workspace) -> ArtifactRef:
    from support.tiny_variants import saved_model

    return saved_model(workspace)


def asked(workspace: Workspace, folder: Path, variants: dict[str, ArtifactRef]) -> StepContext:
    from support import tiny_variants

    return tiny_variants.context(
        workspace,
        folder / "out",
        step="benchmark",
        config={"signature": "serving_default"},
        definition=str(tiny_variants.definition(folder)),
        inputs=variants,
    )


def damaged(folder: Path, kind: Literal["saved_model", "tflite"]) -> ArtifactRef:
    file = "saved_model.pb" if kind == "saved_model" else "model.tflite"
    (folder / "damaged" / kind).mkdir(parents=True)
    (folder / "damaged" / kind / file).write_bytes(b"not a model")
    return ArtifactRef(kind=kind, digest="0", uri=str(folder / "damaged"), size_bytes=11)


def test_every_variant_is_measured_and_a_damaged_one_costs_itself_only(
    workspace: Workspace, original: ArtifactRef, tmp_path: Path
) -> None:
    from support.tiny_variants import onnx, tflite

    variants = {
        "original": original,
        "lite": tflite(workspace, original),
        "lite_int8": tflite(workspace, original, integers=True),
        "onnx": onnx(workspace, original),
        "broken": damaged(tmp_path, "saved_model"),
    }
    output = benchmark.run(asked(workspace, tmp_path, variants))
    found = Benchmark.model_validate(output.details)
    assert set(found.variants) == {"original", "lite", "lite_int8", "onnx"}
    assert set(found.failures) == {"broken"}
    for figures in found.variants.values():
        for times in (figures.single_thread, figures.all_threads):
            assert times.samples >= 100
            assert times.p99_ms is not None
            assert 0 < times.p50_ms <= times.p90_ms <= times.p99_ms < 1000
        assert figures.single_thread_throughput_per_second > figures.batch
        assert figures.all_threads_throughput_per_second > figures.batch
        assert figures.peak_memory_bytes is not None
    original_peak = found.variants["original"].peak_memory_bytes or 0
    assert 50_000 < original_peak < 500_000_000
    assert output.metrics["lite_latency_p50_ms"] == found.variants["lite"].single_thread.p50_ms


def test_it_fails_if_nothing_can_be_measured(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match="no variant could be measured"):
        benchmark.run(asked(workspace, tmp_path, {"broken": damaged(tmp_path, "tflite")}))
