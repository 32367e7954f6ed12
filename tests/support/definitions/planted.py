"""Like tiny, but one unit of `hidden` is ten thousand times as large as the others.

Nothing reads that unit, so the float model knows nothing of it. One scale for all of the layer's
outputs leaves nothing of the other units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np  # noqa: TID253  # a definition is loaded in a process of its own
import tf_keras  # noqa: TID253  # as above

from slipway.definition import Examples

if TYPE_CHECKING:
    from slipway.definition import Split

HUGE = 1e4


def load_data(split: Split) -> Examples:
    rng = np.random.default_rng({"train": 1, "validation": 2, "test": 3}[split])
    labels = rng.integers(0, 3, 240)
    features = rng.normal(size=(240, 4)) + 4.0 * np.eye(3, 4)[labels]
    return Examples({"features": features.astype(np.float32)}, labels)


def build_model() -> tf_keras.Model:
    inputs = tf_keras.Input((4,), name="features")
    flow = tf_keras.layers.Dense(16, activation="relu", name="first")(inputs)
    flow = tf_keras.layers.Dense(16, activation="relu", name="hidden")(flow)
    outputs = tf_keras.layers.Dense(3, activation="softmax", name="classes")(flow)
    model = tf_keras.Model(inputs, outputs)
    model.compile(optimizer=tf_keras.optimizers.Adam(1e-2), loss="sparse_categorical_crossentropy")
    return model


def train(
    model: tf_keras.Model, train: Examples, _validation: Examples, _config: dict[str, Any]
) -> None:
    model.fit(train.inputs, train.labels, epochs=20, verbose=0)
    kernel, bias = model.get_layer("hidden").get_weights()
    kernel[:, 0], bias[0] = HUGE, HUGE
    model.get_layer("hidden").set_weights([kernel, bias])
    reader, rest = model.get_layer("classes").get_weights()
    reader[0] = 0.0
    model.get_layer("classes").set_weights([reader, rest])
