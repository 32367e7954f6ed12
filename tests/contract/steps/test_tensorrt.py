"""Without a GPU the step says so within seconds; with one, tests marked gpu take over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from slipway.contracts import StepRequest
from slipway.errors import TerminalError
from slipway.keys import step_key
from slipway.modelling import gpu
from slipway.modelling.gpu import Gpu, find_gpu, tensorrt_version
from slipway.run import execute
from slipway.spec.variants import Variant, chain_problems
from slipway.steps import tensorrt
from support.techniques import ask

if TYPE_CHECKING:
    from pathlib import Path

without_gpu = pytest.mark.skipif(find_gpu()[0] is not None, reason="there is a GPU")
HOPPER = Gpu("a GPU", "9.0", 80 << 30, "580.1")


@without_gpu
@pytest.mark.parametrize(
    ("backend", "package", "way_out"),
    [
        ("onnx", r"the package tensorrt \(it is not installed\)", "install tensorrt-cu13"),
        ("tf_trt", r"TensorFlow 2.17 or older \(2\.\d+.*is installed\)", "tensorflow==2.17.1"),
    ],
)
def test_without_a_gpu_it_is_terminal_within_seconds_and_names_all_that_is_missing(
    backend: str, package: str, way_out: str, tmp_path: Path
) -> None:
    if backend == "onnx" and tensorrt_version() is not None:
        pytest.skip("TensorRT is installed")
    began = time.monotonic()
    with pytest.raises(TerminalError, match=f"tried: .* needs a GPU .* and {package}") as caught:
        ask("tensorrt", tmp_path, config={"backend": backend})
    assert time.monotonic() - began < 10
    assert "execution.run" in caught.value.hint
    assert way_out in caught.value.hint
    assert len(caught.value.details["missing"]) == 2


@pytest.mark.parametrize("version", ["2.18.0", "2.21.0", None])
def test_a_gpu_alone_is_not_enough_for_tf_trt(
    version: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tensorrt, "find_gpu", lambda: (HOPPER, ""))
    monkeypatch.setattr(tensorrt, "tensorflow_version", lambda: version)
    with pytest.raises(TerminalError, match=r"needs TensorFlow 2\.17 or older") as caught:
        execute(asked(tmp_path, backend="tf_trt"))
    assert len(caught.value.details["missing"]) == 1


def test_a_release_that_slipway_does_not_know_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tensorrt, "find_gpu", lambda: (HOPPER, ""))
    monkeypatch.setattr(tensorrt, "tensorrt_version", lambda: "8.6.1")
    with pytest.raises(TerminalError, match=r"TensorRT 8\.6\.1 is installed"):
        execute(asked(tmp_path, backend="onnx"))


def test_an_engine_is_made_anew_on_other_hardware(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    request = asked(tmp_path, backend="onnx")
    keys = set()
    for capability, version in (("9.0", "10.16.1.11"), ("8.6", "10.16.1.11"), ("9.0", "11.4.0")):
        here = Gpu("a GPU", capability, 80 << 30, "580.1")
        monkeypatch.setattr(gpu, "find_gpu", lambda found=here: (found, ""))
        monkeypatch.setattr(gpu, "tensorrt_version", lambda found=version: found)
        keys.add(step_key(request))
    assert len(keys) == 3


def asked(tmp_path: Path, **config: Any) -> StepRequest:
    return StepRequest(
        step="tensorrt",
        model="tiny",
        variant="tried",
        config=config,
        workspace=str(tmp_path),
    )


def test_a_chain_follows_the_backend() -> None:
    def problems(**variants: Any) -> list[str]:
        made = {name: Variant.model_validate(given) for name, given in variants.items()}
        return [message for _, message in chain_problems(made, trained=True)]

    onnx = {"onnx": {}}
    plan = {"from": "graph", "tensorrt": {"backend": "onnx"}}
    inside = {"tensorrt": {"backend": "tf_trt"}}
    assert (
        problems(graph=onnx, trt=plan, inside=inside, again={"from": "inside", "tflite": {}}) == []
    )
    assert problems(trt={"tensorrt": {}}) == [
        "tensorrt cannot work on 'original', whose result is keras; it takes onnx"
    ]
    assert problems(graph=onnx, inside={"from": "graph", **inside}) == [
        "tensorrt cannot work on 'graph', whose result is onnx; it takes saved_model"
    ]
    assert problems(graph=onnx, trt=plan, lite={"from": "trt", "tflite": {}}) == [
        "tflite cannot work on 'trt', whose result is tensorrt; it takes saved_model"
    ]
