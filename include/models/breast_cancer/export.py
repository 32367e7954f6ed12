"""Makes saved_model/, as a team that does not know Slipway might: run it once, by hand.

    python include/models/breast_cancer/export.py

Plain TensorFlow, without Keras and without Slipway.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

FOLDER = Path(__file__).parent / "saved_model"
HIDDEN = 64
STEPS = 3000


class Classifier(tf.Module):
    """Scales 30 measurements and gives the probability that the sample is benign."""

    def __init__(self, table: np.ndarray) -> None:
        super().__init__()
        random = np.random.default_rng(1)
        size = table.shape[1]
        self.mean = tf.constant(table.mean(axis=0))
        self.spread = tf.constant(table.std(axis=0))
        self.hidden = tf.Variable(random.normal(0, size**-0.5, (size, HIDDEN)).astype("f"))
        self.hidden_bias = tf.Variable(tf.zeros(HIDDEN))
        self.out = tf.Variable(random.normal(0, HIDDEN**-0.5, (HIDDEN, 1)).astype("f"))
        self.out_bias = tf.Variable(tf.zeros(1))

    def logits(self, measurements: tf.Tensor) -> tf.Tensor:
        """Log-odds of benign, of shape [batch, 1]."""
        scaled = (measurements - self.mean) / self.spread
        hidden = tf.nn.relu(scaled @ self.hidden + self.hidden_bias)
        return hidden @ self.out + self.out_bias

    @tf.function(input_signature=[tf.TensorSpec([None, 30], tf.float32, name="measurements")])
    def serve(self, measurements: tf.Tensor) -> dict[str, tf.Tensor]:
        """The served signature."""
        return {"benign": tf.sigmoid(self.logits(measurements))}


def main() -> None:
    table, labels = load_breast_cancer(return_X_y=True)
    table = table.astype(np.float32)
    rest, _ = train_test_split(
        np.arange(len(labels)), test_size=0.25, random_state=0, stratify=labels
    )
    train, _ = train_test_split(rest, test_size=0.2, random_state=0, stratify=labels[rest])
    wanted = tf.constant(labels[train].reshape(-1, 1).astype(np.float32))
    model = Classifier(table[train])
    for _ in range(STEPS):
        with tf.GradientTape() as tape:
            losses = tf.nn.sigmoid_cross_entropy_with_logits(wanted, model.logits(table[train]))
            weights = model.trainable_variables
            loss = tf.reduce_mean(losses) + 1e-3 * sum(tf.nn.l2_loss(item) for item in weights)
        for variable, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
            variable.assign_sub(0.1 * gradient)
    shutil.rmtree(FOLDER, ignore_errors=True)
    tf.saved_model.save(model, str(FOLDER), signatures={"serving_default": model.serve})


if __name__ == "__main__":
    main()
