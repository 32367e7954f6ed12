from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.modelling import distillation


def _model(loss: Any, activation: str | None = None) -> Any:
    import tf_keras

    inputs = tf_keras.Input((2,))
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(3, activation=activation)(inputs))
    model.compile(loss=loss)
    return model


def _losses() -> dict[str, tuple[Any, str, bool]]:
    import tf_keras

    losses = tf_keras.losses
    return {
        "name": ("sparse_categorical_crossentropy", "classes", False),
        "logits": (losses.SparseCategoricalCrossentropy(from_logits=True), "classes", True),
        "binary": (losses.BinaryCrossentropy(from_logits=True), "binary", True),
        "focal": (losses.BinaryFocalCrossentropy(), "binary", False),
        "regression": ("mse", "values", False),
        "huber": (losses.Huber(), "values", False),
    }


@pytest.mark.parametrize("name", ["name", "logits", "binary", "focal", "regression", "huber"])
def test_what_a_model_answers_is_read_from_its_loss(name: str) -> None:
    loss, kind, logits = _losses()[name]
    assert distillation.answers_of(_model(loss)) == distillation.Answers(kind, logits)  # type: ignore[arg-type]  # one of the three


def test_a_loss_of_the_users_own_is_judged_by_the_last_activation() -> None:
    def own(labels: Any, answers: Any) -> Any:
        return answers[:, 0] - labels

    assert distillation.answers_of(_model(own, "softmax")).kind == "classes"
    assert distillation.answers_of(_model(own)).kind == "values"


@settings(deadline=None, max_examples=25)
@given(
    temperature=st.floats(0.5, 10),
    taught=st.lists(st.floats(-4, 4), min_size=3, max_size=3),
    answered=st.lists(st.floats(-4, 4), min_size=3, max_size=3),
)
def test_the_soft_part_is_the_divergence_of_the_softened_answers(
    temperature: float, taught: list[float], answered: list[float]
) -> None:
    import numpy as np
    import tensorflow as tf

    model = _model(_losses()["logits"][0])
    loss = distillation.student_loss(model, model, temperature=temperature, alpha=0.0)
    found = float(loss(tf.constant([0]), tf.constant([taught]), tf.constant([answered])))

    def softened(logits: list[float]) -> Any:
        powers = np.exp(np.array(logits) / temperature)
        return powers / powers.sum()

    p, q = softened(taught), softened(answered)
    assert found == pytest.approx(temperature**2 * float(np.sum(p * np.log(p / q))), abs=2e-4)


def test_with_alpha_one_only_the_labels_count() -> None:
    import tensorflow as tf

    model = _model("mse")
    loss = distillation.student_loss(model, model, temperature=4.0, alpha=1.0)
    labels, far = tf.constant([[1.0, 2.0, 3.0]]), tf.constant([[9.0, 9.0, 9.0]])
    assert float(loss(labels, far, labels)) == 0.0
