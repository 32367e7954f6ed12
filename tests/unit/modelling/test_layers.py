from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from slipway.errors import TerminalError
from slipway.modelling import layers, quantization
from support.definition_text import context_for

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def mixed() -> Any:
    """Preprocessing of text and numbers, an embedding and two dense layers."""
    import tf_keras

    keras = tf_keras.layers
    text = tf_keras.Input((1,), dtype="string", name="text")
    number = tf_keras.Input((2,), name="number")
    index = keras.StringLookup(vocabulary=["a", "b"], name="index")(text)
    embedded = keras.Flatten(name="flat")(keras.Embedding(3, 2, name="embedding")(index))
    scaled = keras.Normalization(mean=[1.0, 2.0], variance=[4.0, 9.0], name="scaled")(number)
    flow = keras.Concatenate(name="both")([embedded, scaled])
    flow = keras.Dense(8, activation="relu", name="hidden")(flow)
    model = tf_keras.Model([text, number], keras.Dense(1, name="answer")(flow))
    model.compile(loss="mse", optimizer="adam")
    return model


def test_preprocessing_is_not_pruned(mixed: Any) -> None:
    assert list(layers.prunable_kernels(mixed)) == ["embedding", "hidden", "answer"]


def test_a_layer_that_cannot_be_pruned_is_refused_by_name(mixed: Any, tmp_path: Path) -> None:
    every = list(layers.leaf_layers(mixed))
    with pytest.raises(TerminalError, match="prune cannot work on the layer 'scaled'"):
        layers.choose(context_for(tmp_path, "prune"), ["hidden"], ["scaled"], every)


def test_a_model_with_nothing_to_prune_is_refused(mixed: Any, tmp_path: Path) -> None:
    every = list(layers.leaf_layers(mixed))
    with pytest.raises(TerminalError, match="no layer that prune can work on"):
        layers.choose(context_for(tmp_path, "prune"), [], None, every)


def test_a_layer_that_learns_but_cannot_be_quantized_is_named(mixed: Any, tmp_path: Path) -> None:
    context = context_for(tmp_path, "quantize")
    with pytest.raises(TerminalError, match="cannot quantize the layer 'embedding', a Embedding"):
        quantization.choose_layers(context, mixed, None)


def test_named_layers_are_quantized_and_the_rest_of_the_model_stays_the_same(
    mixed: Any, tmp_path: Path
) -> None:
    import numpy as np

    from slipway.definition import Examples

    context = context_for(tmp_path, "quantize")
    chosen = quantization.choose_layers(context, mixed, ["hidden", "answer"])
    copy = quantization.with_simulation(context, mixed, chosen, preserve_sparsity=False)
    rng = np.random.default_rng(0)
    inputs = {
        "text": np.array([["a"], ["b"]] * 32, dtype=object),
        "number": rng.normal(size=(64, 2)).astype(np.float32),
    }
    examples = Examples(inputs, np.zeros(64))
    quantization.require_same_answers(context, mixed, copy, examples)
    copy.get_layer("scaled").mean = np.array([100.0, -100.0], dtype=np.float32)
    copy.get_layer("quant_hidden").layer.bias.assign(-10 * np.ones(8))
    copy.predict_function = None
    with pytest.raises(TerminalError, match="is not the same model"):
        quantization.require_same_answers(context, mixed, copy, examples)


def test_a_subclassed_model_is_refused_by_name(tmp_path: Path) -> None:
    import tf_keras

    class Own(tf_keras.Model):  # type: ignore[misc]  # tf_keras has no types
        pass

    with pytest.raises(TerminalError, match="Own is a subclassed one"):
        layers.require_graph(context_for(tmp_path, "prune"), Own())
