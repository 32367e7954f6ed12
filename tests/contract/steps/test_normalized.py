"""Layer normalization and swish: what they become in each form, and where they cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from slipway.errors import TerminalError
from slipway.workspace import Workspace
from support.techniques import answers, ask

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from slipway.contracts import ArtifactRef


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("normalized")


@pytest.fixture(scope="module")
def normalized(workspace: Path) -> ArtifactRef:
    from support.signatures import normalized as made

    return made(Workspace(workspace))


def _answers(artifact: ArtifactRef) -> np.ndarray:
    import numpy as np

    # As the examples that calibrate it.
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(30, 4)) + 2.0 * np.eye(3, 4)[np.arange(30) % 3]).astype(np.float32)
    return answers(artifact, rows)


@pytest.mark.parametrize(
    ("step", "config", "tolerance"),
    [
        ("cast", {"precision": "float16", "smallest_weight": 1}, 0.01),
        ("cast", {"precision": "bfloat16", "smallest_weight": 1}, 0.05),
        ("tflite", {}, 1e-5),
        ("tflite", {"precision": "int8"}, 0.5),  # of answers between -2 and 3
        ("tflite", {"recipe": "static_wi8_ai16"}, 0.1),
        ("onnx", {}, 1e-4),
        ("onnx", {"precision": "int8"}, 0.3),
    ],
    ids=["float16", "bfloat16", "tflite", "tflite_int8", "static_wi8_ai16", "onnx", "onnx_int8"],
)
def test_it_answers_as_before(
    step: str,
    config: dict[str, Any],
    tolerance: float,
    workspace: Path,
    normalized: ArtifactRef,
) -> None:
    import numpy as np

    made = ask(step, workspace, config=config, source=normalized)
    assert made.artifact is not None
    assert np.abs(_answers(made.artifact) - _answers(normalized)).max() < tolerance


def test_a_file_that_ends_its_runtime_is_terminal_and_the_last_line_says_whose_fault_it_is(
    workspace: Path, normalized: ArtifactRef
) -> None:
    """LiteRT 2.3 has no 16-bit kernel for what a layer normalization is made of, and aborts."""
    with pytest.raises(TerminalError, match="crashed with SIGABRT") as told:
        ask("tflite", workspace, config={"precision": "int16x8"}, source=normalized)
    assert "a crash here is of LiteRT's kernels" in told.value.message
    assert "All log messages before absl" not in told.value.message
