"""The smallest definition that every technique works on: four numbers, three classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np  # noqa: TID253  # a definition is loaded in a process of its own
import tf_keras  # noqa: TID253  # as above

from slipway.definition import Examples

if TYPE_CHECKING:
    from slipway.definition import Split


def load_data(split: Split) -> Examples:
    rng = np.random.default_rng({"train": 1, "validation": 2, "test": 3}[split])
    labels = rng.integers(0, 3, 96)
    features = rng.normal(size=(96, 4)) + 2.0 * np.eye(3, 4)[labels]
    return Examples({"features": features.astype(np.float32)}, labels)


def build_model() -> tf_keras.Model:
    return _network(hidden=16)


def build_student() -> tf_keras.Model:
    return _network(hidden=4)


def _network(hidden: int) -> tf_keras.Model:
    inputs = tf_keras.Input((4,), name="features")
    flow = tf_keras.layers.Dense(hidden, activation="relu", name="hidden")(inputs)
    outputs = tf_keras.layers.Dense(3, activation="softmax", name="classes")(flow)
    model = tf_keras.Model(inputs, outputs)
    model.compile(optimizer=tf_keras.optimizers.Adam(1e-2), loss="sparse_categorical_crossentropy")
    return model
