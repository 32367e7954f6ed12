from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from support.techniques import TechniqueContract

if TYPE_CHECKING:
    from slipway.contracts import StepResult


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
        assert made.metrics["parity_largest_difference"] == pytest.approx(0, abs=1e-5)
        assert made.details["parity_batches"].startswith("1, 2, 5, ")
