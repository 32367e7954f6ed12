from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from slipway.errors import TerminalError
from support.techniques import TechniqueContract, ask

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.contracts import ArtifactRef, StepResult


class TestOnnx(TechniqueContract):
    step = "onnx"
    config: ClassVar[dict[str, Any]] = {}
    mistake: ClassVar[dict[str, Any]] = {"signature": "serving"}
    complaint = "no signature 'serving'; did you mean 'serving_default'"

    def test_names_types_and_dynamic_batch_are_those_of_the_savedmodel(
        self, made: StepResult
    ) -> None:
        assert made.details["inputs"] == {"features": {"dtype": "float32", "shape": [-1, 4]}}
        assert made.details["outputs"] == {"classes": {"dtype": "float32", "shape": [-1, 3]}}
        assert made.details["opset"] == 17
        assert made.metrics["operations"] == made.details["operation_count"] > 0

    def test_its_answers_are_those_of_the_savedmodel_in_batches_of_every_size(
        self, made: StepResult
    ) -> None:
        assert made.metrics["parity_largest_difference"] < 1e-5
        assert made.details["parity_batches"] == "1, 2, 5, 56"


class TestOnnxFloat16(TechniqueContract):
    step = "onnx"
    config: ClassVar[dict[str, Any]] = {"precision": "float16", "keep_float": ["Softmax"]}
    mistake: ClassVar[dict[str, Any]] = {"keep_float": ["hiden"]}
    complaint = "no layer or operation 'hiden'; did you mean 'hidden'"

    def test_inputs_and_outputs_stay_float32_and_the_answers_close(self, made: StepResult) -> None:
        assert made.details["inputs"]["features"]["dtype"] == "float32"
        assert made.details["outputs"]["classes"]["dtype"] == "float32"
        assert 0 < made.metrics["parity_largest_difference"] < 0.005
        assert made.details["layer_errors"] == []


class TestOnnxInt8(TechniqueContract):
    step = "onnx"
    config: ClassVar[dict[str, Any]] = {"precision": "int8", "batch": 8, "opset": 13}
    mistake: ClassVar[dict[str, Any]] = {"keep_float": ["MatMul"]}
    complaint = "nothing to quantize"

    def test_it_has_qdq_nodes_around_every_matmul_and_a_fixed_batch(self, made: StepResult) -> None:
        operations = made.details["operations"]
        assert operations["QuantizeLinear"] == operations["MatMul"] == 2  # the activations
        assert operations["DequantizeLinear"] == 4  # and the weights, which are integers
        assert made.details["inputs"]["features"]["shape"] == [8, 4]
        assert made.details["parity_batches"] == "8"
        assert 0 < made.metrics["parity_largest_difference"] < 0.1
        assert made.details["opset"] == 13

    def test_too_few_examples_to_calibrate_with_are_told(self, made: StepResult) -> None:
        assert "only 96 examples" in made.details["calibration_remarks"]


def test_trained_quantization_becomes_qdq_nodes(quantized: ArtifactRef, tmp_path: Path) -> None:
    made = ask("onnx", tmp_path, source=quantized)
    assert made.details["operations"]["QuantizeLinear"] > 0
    assert made.metrics["parity_largest_difference"] < 0.05


def test_trained_quantization_is_not_quantized_again(
    quantized: ArtifactRef, tmp_path: Path
) -> None:
    with pytest.raises(TerminalError, match="trained with 8-bit") as caught:
        ask("onnx", tmp_path, config={"precision": "int8"}, source=quantized)
    assert "float32" in caught.value.hint
