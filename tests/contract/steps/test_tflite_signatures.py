"""Signatures of every kind in TFLite, and operations that only TensorFlow has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from slipway.errors import TerminalError
from slipway.workspace import Workspace
from support.techniques import ask

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.contracts import ArtifactRef, StepResult


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("signatures")


@pytest.fixture(scope="module")
def source(workspace: Path) -> ArtifactRef:
    from support.signatures import several

    return several(Workspace(workspace))


def test_several_signatures_keep_names_inputs_texts_and_dynamic_sizes(
    workspace: Path, source: ArtifactRef
) -> None:
    import numpy as np

    config = {"more_signatures": ["two", "text"], "optimization": "DEFAULT"}
    made = ask("tflite", workspace, config=config, source=source)
    assert made.details["signatures"] == ["serving_default", "text", "two"]
    assert made.details["signatures_left_out"] == ["determinant"]
    interpreter = _open(made)
    rows = np.ones((3, 4), np.float32)
    two = interpreter.get_signature_runner("two")(features=rows, others=np.ones((3, 7), "f"))
    assert sorted(two) == ["classes", "sums"]
    assert two["sums"].tolist() == [7.0] * 3
    words = np.array([b"a", b"longer"], dtype=object)
    assert interpreter.get_signature_runner("text")(words=words)["same"].shape == (2, 1)
    served = interpreter.get_signature_runner("serving_default")(features=rows)
    assert served["classes"].shape == (3, 3)


def test_several_signatures_are_calibrated_where_the_data_fits_them_all(
    workspace: Path, source: ArtifactRef
) -> None:
    config = {"precision": "int8", "more_signatures": ["two"]}
    with pytest.raises(TerminalError, match="no data for its input 'others'"):
        ask("tflite", workspace, config=config, source=source)
    texts = {"precision": "int8", "signature": "text"}
    with pytest.raises(TerminalError, match="the input 'words' is text"):
        ask("tflite", workspace, config=texts, source=source)


def test_an_operation_that_tflite_lacks_is_named_with_the_ways_out(
    workspace: Path, source: ArtifactRef
) -> None:
    with pytest.raises(TerminalError, match=r"MatrixDeterminant.*in the layer volume") as caught:
        ask("tflite", workspace, config={"signature": "determinant"}, source=source)
    assert "select_tf_ops" in caught.value.hint


def test_a_selected_operation_converts_and_says_where_it_can_run(
    workspace: Path, source: ArtifactRef
) -> None:
    from slipway.evaluation.runner import open_runner

    config = {"signature": "determinant", "select_tf_ops": True}
    made = ask("tflite", workspace, config=config, source=source)
    assert made.details["selected_operations"] == ["MatrixDeterminant"]
    assert made.metrics["selected_operations"] == 1
    assert made.artifact is not None
    with pytest.raises(TerminalError, match=r"TensorFlow Serving does, and TensorFlow up to") as no:
        open_runner(made.artifact, "determinant", "tried")
    assert "execution.run" in no.value.hint


def _open(made: StepResult) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    assert made.artifact is not None
    return Interpreter(str(made.artifact.servable / "model.tflite"))
