from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from slipway.errors import TerminalError
from support.techniques import TechniqueContract, ask

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.contracts import ArtifactRef, StepResult


class TestTFLite(TechniqueContract):
    step = "tflite"
    config: ClassVar[dict[str, Any]] = {"precision": "int8", "integer_io": True}
    mistake: ClassVar[dict[str, Any]] = {"signature": "serving"}
    complaint = "no signature 'serving'; did you mean 'serving_default'"

    @pytest.fixture(scope="class")
    @classmethod
    def source(cls, quantized: ArtifactRef) -> ArtifactRef:
        return quantized

    def test_names_and_dynamic_batch_are_those_of_the_savedmodel(self, made: StepResult) -> None:
        features = made.details["inputs"]["features"]
        assert (features["dtype"], features["shape"]) == ("int8", [-1, 4])
        assert features["scale"] > 0
        assert list(made.details["outputs"]) == ["classes"]
        assert made.metrics["operations"] == made.details["operation_count"] > 0


def test_eight_bits_trained_do_not_become_sixteen(quantized: ArtifactRef, tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match="int16x8 cannot be made"):
        ask("tflite", tmp_path, config={"precision": "int16x8"}, source=quantized)
