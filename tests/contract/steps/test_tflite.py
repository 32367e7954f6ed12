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


@pytest.mark.parametrize(
    ("config", "refused"),
    [
        ({"precision": "int16x8"}, "int16x8 cannot be made"),
        ({"precision": "int8", "keep_float": ["hidden"]}, "mixed precision cannot be made"),
        ({"recipe": "static_wi8_ai8"}, "static_wi8_ai8 cannot be made"),
    ],
)
def test_eight_bits_trained_become_int8_and_nothing_else(
    quantized: ArtifactRef, tmp_path: Path, config: dict[str, Any], refused: str
) -> None:
    with pytest.raises(TerminalError, match=refused):
        ask("tflite", tmp_path, config=config, source=quantized)
