"""Networks with memory, and activations that are several operations: what converts, and how not."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    return tmp_path_factory.mktemp("recurrent")


@pytest.fixture(scope="module")
def looped(workspace: Path) -> ArtifactRef:
    from support.signatures import recurrent

    return recurrent(Workspace(workspace), unroll=False)


@pytest.fixture(scope="module")
def unrolled(workspace: Path) -> ArtifactRef:
    from support.signatures import recurrent

    return recurrent(Workspace(workspace), unroll=True)


def _answers(artifact: ArtifactRef, count: int) -> np.ndarray:
    import numpy as np

    rows = np.random.default_rng(count).normal(size=(count, 4)).astype(np.float32)
    return answers(artifact, rows)


def test_a_loop_that_tflite_lacks_is_named_with_what_to_write_instead(
    workspace: Path, looped: ArtifactRef
) -> None:
    with pytest.raises(TerminalError, match=r"tf\.TensorListReserve.* layer memory") as no:
        ask("tflite", workspace, source=looped)
    assert "unroll=True" in no.value.hint


def test_without_the_loop_it_becomes_tflite_and_forgets_between_requests(
    workspace: Path, unrolled: ArtifactRef
) -> None:
    import numpy as np

    made = ask("tflite", workspace, source=unrolled)
    assert made.artifact is not None
    for count in (1, 5, 1):
        theirs, ours = _answers(unrolled, count), _answers(made.artifact, count)
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_loop_by_selected_operations_says_that_it_cannot_run_here(
    workspace: Path, looped: ArtifactRef
) -> None:
    from slipway.evaluation.runner import open_runner

    made = ask("tflite", workspace, config={"select_tf_ops": True}, source=looped)
    assert made.artifact is not None
    with pytest.raises(TerminalError, match="TensorFlow Serving does, and TensorFlow up to"):
        open_runner(made.artifact, "serving_default", "tried")


def test_onnx_has_the_loop_and_gelu_with_the_same_answers(
    workspace: Path, looped: ArtifactRef
) -> None:
    import numpy as np

    made = ask("onnx", workspace, source=looped)
    assert made.artifact is not None
    for count in (1, 7):
        theirs, ours = _answers(looped, count), _answers(made.artifact, count)
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
