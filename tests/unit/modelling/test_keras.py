from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slipway.contracts import ArtifactRef, StepRequest
from slipway.definition import load_definition
from slipway.errors import TerminalError
from slipway.modelling import keras
from slipway.steps.base import StepContext
from support.definition_text import context_for, written
from support.techniques import TINY

if TYPE_CHECKING:
    from pathlib import Path

ARCHITECTURE = keras.Architecture("build_model", ("classes",))


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("import keras; return keras.Sequential([keras.Input((2,))])", "not a tf_keras model"),
        ("return 5", "builtins.int, not a tf_keras model"),
        ("import tf_keras as k; return k.Sequential([k.Input((2,))])", "not compiled"),
        (
            "import tf_keras as k; m = k.Sequential([k.layers.Dense(1)]); m.compile(); return m",
            "without weights",
        ),
    ],
    ids=["keras-3", "no-model", "not-compiled", "not-built"],
)
def test_only_a_compiled_built_keras_2_model_is_accepted(
    tmp_path: Path, body: str, complaint: str
) -> None:
    definition = written(tmp_path, f"def build_model():\n    {body}\n")
    with pytest.raises(TerminalError, match=complaint) as caught:
        keras.build(definition, "build_model")
    assert "build_model in written.py" in caught.value.message


def test_layers_without_a_name_are_called_the_same_however_often_a_model_is_built(
    tmp_path: Path,
) -> None:
    text = (
        "import tf_keras as k\ndef build_model():\n"
        "    m = k.Sequential([k.Input((2,)), k.layers.Dense(1)]); m.compile(); return m\n"
    )
    definition = written(tmp_path, text)
    names = [keras.output_names(keras.build(definition, "build_model")) for _ in range(2)]
    assert names[0] == names[1] == ("dense",)


def _kept(tmp_path: Path, architecture: keras.Architecture) -> StepContext:
    model = keras.build(load_definition(TINY), "build_model")
    keras.save_weights(model, architecture, tmp_path)
    source = ArtifactRef(kind="keras", digest="0", uri=str(tmp_path), size_bytes=1)
    request = StepRequest(
        step="prune", model="m", variant="tried", inputs={"source": source}, workspace="w"
    )
    return StepContext(request, tmp_path, context_for(tmp_path, "prune").workspace)


def test_a_model_comes_back_with_its_weights(tmp_path: Path) -> None:
    import numpy as np

    model, architecture = keras.load_model(_kept(tmp_path, ARCHITECTURE), load_definition(TINY))
    with np.load(tmp_path / "weights.npz") as stored:
        pairs = zip(model.get_weights(), stored.values(), strict=True)
        assert all(np.array_equal(one, other) for one, other in pairs)
    assert architecture == ARCHITECTURE


def test_a_definition_that_changed_its_model_is_named(tmp_path: Path) -> None:
    context = _kept(tmp_path, keras.Architecture("build_student", ("classes",)))
    with pytest.raises(TerminalError, match=r"build_student in tiny\.py now builds a model with"):
        keras.load_model(context, load_definition(TINY))


def test_a_damaged_artifact_is_named(tmp_path: Path) -> None:
    context = _kept(tmp_path, ARCHITECTURE)
    (tmp_path / "architecture.json").write_text("{", "utf-8")
    with pytest.raises(TerminalError, match=r"architecture\.json cannot be read"):
        keras.load_model(context, load_definition(TINY))
