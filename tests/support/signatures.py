"""SavedModels with more than one signature, several inputs, texts, and what TFLite lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np  # noqa: TID253  # tests import this module inside functions
import tensorflow as tf  # noqa: TID253  # as above

if TYPE_CHECKING:
    from slipway.contracts import ArtifactRef
    from slipway.workspace import Workspace


class Several(tf.Module):
    """`serving_default` of numbers, `two` of two inputs, one of any size, and `text` of texts."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.Variable(np.random.default_rng(0).normal(size=(4, 3)).astype("f"))

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, "features")])
    def serve(self, features: Any) -> dict[str, Any]:
        return {"classes": tf.nn.softmax(features @ self.weights)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 4], tf.float32, "features"),
            tf.TensorSpec([None, None], tf.float32, "others"),
        ]
    )
    def two(self, features: Any, others: Any) -> dict[str, Any]:
        return {"classes": features @ self.weights, "sums": tf.reduce_sum(others, 1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "words")])
    def text(self, words: Any) -> dict[str, Any]:
        return {"same": tf.reshape(words, [-1, 1])}

    @tf.function(input_signature=[tf.TensorSpec([None, 3, 3], tf.float32, "matrix")])
    def determinant(self, matrix: Any) -> dict[str, Any]:
        with tf.name_scope("model/volume"):  # as Keras names model and layer
            found = tf.linalg.det(matrix)
        return {"value": found + tf.reduce_sum(self.weights)}


def several(workspace: Workspace) -> ArtifactRef:
    """The module as an artifact; the signature `serving_default` is its function `serve`."""
    module = Several()
    signatures = {
        "serving_default": module.serve,
        "two": module.two,
        "text": module.text,
        "determinant": module.determinant,
    }
    with workspace.staging() as folder:
        tf.saved_model.save(module, str(folder / "saved_model"), signatures=signatures)
        return workspace.keep(folder, "saved_model")


def recurrent(workspace: Workspace, *, unroll: bool) -> ArtifactRef:
    """An LSTM and a dense layer with gelu, as Keras exports them."""
    import tf_keras

    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [
            tf_keras.Input((4,), name="features"),
            layers.Reshape((4, 1), name="series"),
            layers.LSTM(4, unroll=unroll, name="memory"),
            layers.Dense(8, activation="gelu", name="hidden"),
            layers.Dense(2, name="classes"),
        ],
        name="net",
    )
    with workspace.staging() as folder:
        model.export(str(folder / "saved_model"))
        return workspace.keep(folder, "saved_model")


def normalized(workspace: Workspace) -> ArtifactRef:
    """Layer normalization and swish, whose gradient is its own, as Keras exports them."""
    import tf_keras

    layers = tf_keras.layers
    first, last = (tf_keras.initializers.GlorotUniform(seed=seed) for seed in (1, 2))
    model = tf_keras.Sequential(
        [
            tf_keras.Input((4,), name="features"),
            layers.Dense(16, "swish", kernel_initializer=first, name="hidden"),
            layers.LayerNormalization(name="normal"),
            layers.Dense(2, kernel_initializer=last, name="classes"),
        ],
        name="net",
    )
    with workspace.staging() as folder:
        model.export(str(folder / "saved_model"))
        return workspace.keep(folder, "saved_model")
