"""Engines for real: wherever there are a GPU and TensorRT."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np  # noqa: TID253 - a test may
import pytest

from slipway.evaluation.golden import differences
from slipway.evaluation.runner import open_runner
from slipway.evaluation.serving import rows
from slipway.local.processes import ProcessTable, Service, free_port
from slipway.modelling.gpu import find_gpu, tensorflow_version, tensorrt_version
from slipway.modelling.tf_trt import can_convert
from slipway.rollout.kserve import infer_path, parse_interface, ready_path
from slipway.serving.triton import model_config
from support.techniques import ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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

TOLERANCE = {"float32": 1e-3, "float16": 1e-2, "int8": 0.1}
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


def some_inputs(runner: Runner) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        name: rng.random((100, *facts.shape[1:]), dtype=np.float32)
        for name, facts in runner.signature.inputs.items()
    }


@contextmanager
def served(command: Sequence[str], ready: str, folder: Path) -> Iterator[None]:
    """Runs a model server until it says that the version is ready."""

    def is_ready() -> bool:
        try:
            return httpx.get(ready, trust_env=False, timeout=2).is_success
        except httpx.HTTPError:
            return False

    table = ProcessTable(folder / "server")
    try:
        table.start(Service("server", tuple(command), is_ready, ready_within_seconds=120))
        yield
    finally:
        table.stop_all()


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
    inputs = some_inputs(original)
    ours, theirs = engine.predict(inputs), original.predict(inputs)
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, atol=TOLERANCE[precision])
    batch = {name: values[:64] for name, values in inputs.items()}
    assert median_seconds(engine, batch) < median_seconds(original, batch)


@needs_tf_trt
@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_tf_trt_answers_as_the_saved_model_does_and_faster(
    precision: str, trained: ArtifactRef, tmp_path: Path
) -> None:
    config = {"backend": "tf_trt", "precision": precision, "minimum_segment_size": 1}
    made = ask("tensorrt", tmp_path, config=config, source=trained)
    assert made.artifact is not None
    assert made.artifact.kind == "saved_model"
    assert made.metrics["converted_share"] > 0
    original = open_runner(trained, "serving_default", "original")
    converted = open_runner(made.artifact, "serving_default", "engine")
    inputs = some_inputs(original)
    ours, theirs = converted.predict(inputs), original.predict(inputs)
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, atol=TOLERANCE[precision])
    batch = {name: values[:64] for name, values in inputs.items()}
    assert median_seconds(converted, batch) < median_seconds(original, batch)


@needs_tensorrt
@pytest.mark.skipif(shutil.which("tritonserver") is None, reason="tritonserver is not on PATH")
def test_triton_loads_an_engine_and_answers_as_the_saved_model_does(
    trained: ArtifactRef, tmp_path: Path
) -> None:
    graph = ask("onnx", tmp_path, source=trained).artifact
    made = ask("tensorrt", tmp_path, config={"backend": "onnx"}, source=graph).artifact
    assert made is not None
    signature = open_runner(made, "serving_default", "engine").signature
    text = model_config("digits", "tensorrt", signature.inputs, signature.outputs, 8)
    repository = tmp_path / "models"
    shutil.copytree(made.servable, repository / "digits" / "1")
    (repository / "digits" / "config.pbtxt").write_text(text)
    original = open_runner(trained, "serving_default", "original")
    inputs = {name: values[:4] for name, values in some_inputs(original).items()}
    asked = parse_interface(text)
    port = free_port()
    flags = ("--model-control-mode=none", "--disable-auto-complete-config", "--allow-grpc=false")
    command = ("tritonserver", f"--model-repository={repository}", f"--http-port={port}", *flags)
    url = f"http://127.0.0.1:{port}"
    with served(command, f"{url}{ready_path('digits', 1)}", tmp_path):
        body = asked.request({"instances": rows(original.encode(inputs))})
        reply = httpx.post(f"{url}{infer_path('digits', 1)}", json=body, trust_env=False)
    expected = {"predictions": rows(original.predict(inputs))}
    assert not differences(expected, asked.reply(reply.json(), 4), TOLERANCE["float32"])


@needs_tf_trt
@pytest.mark.skipif(
    shutil.which("tensorflow_model_server") is None,
    reason="tensorflow_model_server is not on PATH",
)
def test_tensorflow_serving_loads_what_tf_trt_made(trained: ArtifactRef, tmp_path: Path) -> None:
    made = ask("tensorrt", tmp_path, config={"backend": "tf_trt"}, source=trained).artifact
    assert made is not None
    shutil.copytree(made.servable, tmp_path / "digits" / "1")
    original = open_runner(trained, "serving_default", "original")
    inputs = {name: values[:4] for name, values in some_inputs(original).items()}
    rest, grpc = free_port(), free_port()
    command = ("tensorflow_model_server", f"--rest_api_port={rest}", f"--port={grpc}")
    model = ("--model_name=digits", f"--model_base_path={tmp_path / 'digits'}")
    url = f"http://127.0.0.1:{rest}/v1/models/digits"
    with served((*command, *model), f"{url}/metadata", tmp_path):
        body = {"instances": rows(original.encode(inputs))}
        reply = httpx.post(f"{url}:predict", json=body, trust_env=False)
    expected = {"predictions": rows(original.predict(inputs))}
    assert not differences(expected, reply.json(), TOLERANCE["float32"])
