"""The loss of distillation, after Hinton, Vinyals and Dean, arXiv:1503.02531.

    loss = alpha * loss(labels, student) + (1 - alpha) * T^2 * KL(teacher_T || student_T)

where teacher_T and student_T are the answers softened by the temperature T: softmax(logits / T),
or sigmoid(logits / T) for independent yes-no answers. The factor T^2 keeps the two parts of the
same size as T changes. For a regression, where there is nothing to soften, the second part is the
mean squared difference between teacher and student.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

_SMALLEST_PROBABILITY = 1e-7


@dataclass(frozen=True)
class Answers:
    """What the numbers that a model gives mean.

    Attributes:
        kind: "classes" exclude each other, "binary" answers are independent, "values" are the
            numbers of a regression.
        logits: Whether they are logits, not probabilities.
    """

    kind: Literal["classes", "binary", "values"]
    logits: bool


def answers_of(model: Any) -> Answers:
    """What a compiled model answers, read from its loss.

    A loss of the user's own counts as classes or binary if the model ends in a softmax or a
    sigmoid, otherwise as values.
    """
    name, logits = _loss_of(model)
    if "categorical" in name or name == "kl_divergence":
        return Answers("classes", logits)
    if "binary" in name:
        return Answers("binary", logits)
    activation = getattr(getattr(model.layers[-1], "activation", None), "__name__", "")
    kinds: dict[str, Literal["classes", "binary"]] = {"softmax": "classes", "sigmoid": "binary"}
    return Answers(kinds.get(activation, "values"), logits=False)


def student_loss(
    teacher: Any, student: Any, *, temperature: float, alpha: float
) -> Callable[[Any, Any, Any], Any]:
    """The loss that a student learns by; see the module for its formula.

    Args:
        teacher: Compiled model that has answered.
        student: Compiled model that learns.
        temperature: T, above 0.
        alpha: Weight of the labels, 0 to 1.

    Returns:
        A function of labels, the teacher's answers and the student's answers to a scalar.
    """
    import tensorflow as tf

    from_teacher, from_student = answers_of(teacher), answers_of(student)

    def soft_loss(taught: Any, answered: Any) -> Any:
        kind = from_teacher.kind
        if kind == "values":
            return tf.reduce_mean(tf.square(tf.cast(taught, answered.dtype) - answered))
        taught = _as_logits(taught, from_teacher) / temperature
        answered = _as_logits(answered, from_student) / temperature
        if kind == "binary":
            taught = tf.stack([taught, tf.zeros_like(taught)], axis=-1)
            answered = tf.stack([answered, tf.zeros_like(answered)], axis=-1)
        surprise = tf.nn.log_softmax(taught) - tf.nn.log_softmax(answered)
        divergence = tf.reduce_sum(tf.nn.softmax(taught) * surprise, axis=-1)
        return tf.reduce_mean(divergence) * temperature**2

    def loss(labels: Any, taught: Any, answered: Any) -> Any:
        hard = student.compiled_loss(labels, answered)
        return alpha * hard + (1.0 - alpha) * soft_loss(taught, answered)

    return loss


def learner(student: Any, loss: Callable[[Any, Any, Any], Any]) -> Any:
    """A model that trains the student; its targets are pairs of labels and teacher's answers."""
    import tensorflow as tf
    import tf_keras

    class Learner(tf_keras.Model):  # type: ignore[misc]  # tf_keras has no types
        def call(self, inputs: Any, training: bool = False) -> Any:
            return student(inputs, training=training)

        def train_step(self, data: Any) -> dict[str, Any]:
            inputs, (labels, taught) = data
            with tf.GradientTape() as tape:
                total = loss(labels, taught, student(inputs, training=True))
                total += sum(student.losses)
            variables = student.trainable_variables
            gradients = tape.gradient(total, variables)
            self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
            return {"loss": total}

        def test_step(self, data: Any) -> dict[str, Any]:
            inputs, (labels, taught) = data
            return {"loss": loss(labels, taught, student(inputs, training=False))}

    model = Learner()
    model.input_names = getattr(student, "input_names", None)
    return model


def output_shapes(model: Any) -> list[Any]:
    """Shapes of a model's outputs, the batch first."""
    import tensorflow as tf

    return [tensor.shape for tensor in tf.nest.flatten(model.outputs or [])]


def _loss_of(model: Any) -> tuple[str, bool]:
    """Name of the compiled loss in snake case, and whether it takes logits."""
    import re

    loss = model.loss
    name = loss if isinstance(loss, str) else getattr(loss, "name", None)
    name = str(name or getattr(loss, "__name__", type(loss).__name__))
    config = loss.get_config() if hasattr(loss, "get_config") else {}
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return snake, bool(config.get("from_logits", False))


def _as_logits(answers: Any, meaning: Answers) -> Any:
    import tensorflow as tf

    if meaning.logits:
        return answers
    kept = tf.clip_by_value(answers, _SMALLEST_PROBABILITY, 1.0 - _SMALLEST_PROBABILITY)
    if meaning.kind == "binary":
        return tf.math.log(kept) - tf.math.log1p(-kept)
    return tf.math.log(kept)
