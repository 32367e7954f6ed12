"""Handwritten digits: 1797 images of 8 x 8 pixels, from scikit-learn (UCI optdigits)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tf_keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from slipway.definition import Examples

if TYPE_CHECKING:
    from slipway.definition import Split

CLASSES = 10
LARGEST_PIXEL = 16.0


def load_data(split: Split) -> Examples:
    """60% to train, 15% to validate, 25% to test; every digit as frequent in each."""
    images, labels = load_digits(return_X_y=True)
    pixels = (images / LARGEST_PIXEL).reshape(-1, 8, 8, 1).astype(np.float32)
    rest, test = train_test_split(
        np.arange(len(labels)), test_size=0.25, random_state=0, stratify=labels
    )
    train, validation = train_test_split(rest, test_size=0.2, random_state=0, stratify=labels[rest])
    chosen = {"train": train, "validation": validation, "test": test}[split]
    return Examples({"image": pixels[chosen]}, labels[chosen].astype(np.int64))


def build_model() -> tf_keras.Model:
    """Two convolutions and two dense layers, about 400,000 parameters."""
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [
            tf_keras.Input((8, 8, 1), name="image"),
            layers.Conv2D(32, 3, padding="same", activation="relu", name="conv1"),
            layers.Conv2D(32, 3, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(name="pool"),
            layers.Flatten(name="flatten"),
            layers.Dense(768, activation="relu", name="hidden"),
            layers.Dropout(0.3, name="dropout"),
            layers.Dense(CLASSES, activation="softmax", name="probabilities"),
        ]
    )
    return _compiled(model)


def build_student() -> tf_keras.Model:
    """The same task with less than a tenth of the parameters."""
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [
            tf_keras.Input((8, 8, 1), name="image"),
            layers.Conv2D(16, 3, padding="same", activation="relu", name="conv1"),
            layers.MaxPooling2D(name="pool1"),
            layers.Conv2D(32, 3, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(name="pool2"),
            layers.Flatten(name="flatten"),
            layers.Dense(64, activation="relu", name="hidden"),
            layers.Dense(CLASSES, activation="softmax", name="probabilities"),
        ]
    )
    return _compiled(model)


def slices(examples: Examples) -> dict[str, np.ndarray]:
    """One slice a digit."""
    return {f"digit_{digit}": examples.labels == digit for digit in range(CLASSES)}


def _compiled(model: tf_keras.Model) -> tf_keras.Model:
    model.compile(
        optimizer=tf_keras.optimizers.Adam(1e-3),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model
