"""Engines for real: wherever there are a GPU and TensorRT."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np  # noqa: TID253 - a test may
import pytest

from slipway.evaluation.runner import open_runner
from slipway.modelling.gpu import find_gpu, tensorflow_version, tensorrt_version
from slipway.modelling.tf_trt import can_convert
from support.techniques import ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slipway.contracts import ArtifactRef
    from slipway.evaluation.runner import Runner

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(find_gpu()[0] is None, reason="there is no GPU"),
]
needs_tensorrt = pytest.mark.skipif(tensorrt_version() is None, reason="there is no TensorRT")
needs_tf_trt = pytest.mark.skipif(
    not can_convert(tensorflow_version() or "99.0"), reason="this TensorFlow has no TF-TRT"
)

TOLERANCE = {"float32": 1e-3, "float16": 1e-2}
CALLS = 200


@pytest.fixture(scope="module")
def trained() -> Iterator[ArtifactRef]:
    with tempfile.TemporaryDirectory() as folder:
        made = ask("train", Path(folder), config={"epochs": 3}).artifact
        assert made is not None
        yield made


def median_seconds(runner: Runner, inputs: dict[str, np.ndarray]) -> float:
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        runner.answer(inputs)
        times.append(time.perf_counter() - began)
    return sorted(times)[CALLS // 2]


@needs_tensorrt
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_an_engine_answers_as_the_saved_model_does(
    precision: str, trained: ArtifactRef, tmp_path: Path
) -> None:
    graph = ask("onnx", tmp_path, config={"precision": precision}, source=trained).artifact
    made = ask("tensorrt", tmp_path, config={"backend": "onnx"}, source=graph)
    gpu, _ = find_gpu()
    assert gpu is not None
    assert made.details["engine"]["compute_capability"] == gpu.compute_capability
    assert made.artifact is not None
    engine = open_runner(made.artifact, "serving_default", "engine")
    original = open_runner(trained, "serving_default", "original")
    rng = np.random.default_rng(1)
    inputs = {
        name: rng.random((100, *facts.shape[1:]), dtype=np.float32)
        for name, facts in original.signature.inputs.items()
    }
    ours, theirs = engine.predict(inputs), original.predict(inputs)
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, atol=TOLERANCE[precision])
    batch = {name: values[:64] for name, values in inputs.items()}
    assert median_seconds(engine, batch) < median_seconds(original, batch)


@needs_tf_trt
@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_tf_trt_converts_and_its_saved_model_loads(
    precision: str, trained: ArtifactRef, tmp_path: Path
) -> None:
    config = {"backend": "tf_trt", "precision": precision, "minimum_segment_size": 1}
    made = ask("tensorrt", tmp_path, config=config, source=trained)
    assert made.artifact is not None
    assert made.artifact.kind == "saved_model"
    assert made.metrics["converted_share"] > 0
    open_runner(made.artifact, "serving_default", "engine")
