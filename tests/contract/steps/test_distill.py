from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from slipway.errors import TerminalError
from support.techniques import TINY, TechniqueContract, ask

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.contracts import ArtifactRef, StepResult


class TestDistill(TechniqueContract):
    step = "distill"
    config: ClassVar[dict[str, Any]] = {"epochs": 2}
    mistake: ClassVar[dict[str, Any]] = {"learning_rate": 1e30}
    complaint = r"loss is (nan|inf) in epoch \d of 2"

    def test_the_figures_say_how_much_smaller_the_student_is(self, made: StepResult) -> None:
        assert made.metrics["teacher_parameters"] == 4 * 16 + 16 + 16 * 3 + 3
        assert made.metrics["parameters"] == 4 * 4 + 4 + 4 * 3 + 3
        assert made.metrics["parameter_ratio"] == pytest.approx(131 / 35)
        assert made.details["answers"] == "classes"
        assert made.details["outputs"] == ["classes"]


def test_a_student_with_other_outputs_is_terminal_and_both_shapes_are_named(
    trained: ArtifactRef, tmp_path: Path
) -> None:
    other = tmp_path / "other.py"
    student = "def build_student() -> tf_keras.Model:\n    return _network(hidden=4)"
    text = TINY.read_text("utf-8")
    assert student in text
    wrong = student.replace(
        "return _network(hidden=4)",
        "return tf_keras.Sequential([tf_keras.Input((4,), name='features'), "
        "tf_keras.layers.Dense(5)])",
    ).replace("return tf_keras", "model = tf_keras")
    wrong += "\n    model.compile(loss='mse')\n    return model"
    other.write_text(text.replace(student, wrong), "utf-8")
    with pytest.raises(TerminalError, match=r"\[\?, 5\].*teacher with \[\?, 3\]"):
        ask("distill", tmp_path / "w", definition=other, source=trained)
