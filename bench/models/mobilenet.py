"""A network of MobileNetV2's size: 224 x 224, 1000 classes, random weights, random images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tf_keras

from slipway.definition import Examples

if TYPE_CHECKING:
    from slipway.definition import Split

# Few to test, because every batch of every variant is of that many images.
_EXAMPLES = {"train": 16, "validation": 4, "test": 4}


def load_data(split: Split) -> Examples:
    """Random images; the labels mean nothing."""
    count = _EXAMPLES[split]
    random = np.random.default_rng([count, len(split)])
    images = random.uniform(-1.0, 1.0, (count, 224, 224, 3)).astype(np.float32)
    return Examples({"image": images}, np.zeros(count, np.int64))


def build_model() -> tf_keras.Model:
    """MobileNetV2 as Keras has it, before any training."""
    tf_keras.utils.set_random_seed(7)
    image = tf_keras.Input((224, 224, 3), name="image")
    network = tf_keras.applications.MobileNetV2(weights=None, input_tensor=image)
    network.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
    return network


def train(model: object, train: object, validation: object, config: object) -> dict[str, float]:
    """Nothing: the speed and the size of a network do not depend on its weights."""
    del model, train, validation, config
    return {}
