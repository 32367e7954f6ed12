"""Training with progress, one way for every technique, and with its failures made plain."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from slipway.errors import SlipwayError, TerminalError
from slipway.modelling.export import feed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.definition import Examples
    from slipway.steps.base import StepContext


def compile_like(model: Any, source: Any, learning_rate: float | None, *, loss: Any = None) -> None:
    """Compile a model with a fresh optimizer of the source's kind, and with its loss.

    Args:
        model: What is to be trained.
        source: A compiled model.
        learning_rate: Replaces the source's, if given.
        loss: Replaces the source's, if given.
    """
    optimizer = source.optimizer.__class__.from_config(source.optimizer.get_config())
    if learning_rate is not None:
        optimizer.learning_rate = learning_rate
    model.compile(optimizer=optimizer, loss=source.loss if loss is None else loss)


def fit(
    context: StepContext,
    model: Any,
    train: Examples,
    validation: Examples,
    *,
    epochs: int,
    batch_size: int,
    callbacks: Sequence[Any] = (),
    targets: tuple[Any, Any] | None = None,
) -> dict[str, float]:
    """Train a compiled model, one line of progress an epoch.

    Args:
        context: For progress and messages.
        model: A compiled tf_keras model.
        train: What it learns from.
        validation: What it is judged on after each epoch.
        epochs: Passes over `train`.
        batch_size: Examples a step.
        callbacks: Further Keras callbacks.
        targets: What to learn for train and validation, in place of their labels.

    Returns:
        train_loss and validation_loss after the last epoch.

    Raises:
        TerminalError: if the loss is not finite, naming the epoch, or Keras cannot train.
    """
    train_targets, validation_targets = targets or (train.labels, validation.labels)
    try:
        history = model.fit(
            feed(model, train.inputs),
            train_targets,
            validation_data=(feed(model, validation.inputs), validation_targets),
            epochs=epochs,
            batch_size=batch_size,
            verbose=0,
            callbacks=[*callbacks, _progress(context, epochs)],
        )
    except SlipwayError:
        raise
    except Exception as error:
        raise TerminalError(
            f"{context.variant}: Keras cannot train this model on this data: "
            f"{type(error).__name__}: {_first_lines(error)}",
            hint="most often the labels do not fit the loss: compare load_data with the compiled "
            "loss; the full traceback is in the log",
            subject=context.variant,
        ) from error
    return {
        "train_loss": float(history.history["loss"][-1]),
        "validation_loss": float(history.history["val_loss"][-1]),
    }


def require_finite_weights(context: StepContext, model: Any) -> None:
    """Refuse a model with NaN or infinity in it.

    Raises:
        TerminalError: naming the first weight that is not finite.
    """
    import numpy as np

    for variable in model.weights:
        values = variable.numpy()
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise TerminalError(
                f"{context.variant}: the weight {variable.name} is not finite after training",
                hint="lower the learning rate, or look for NaN in the training data",
                subject=variable.name,
            )


def _progress(context: StepContext, epochs: int) -> Any:
    import tf_keras

    class Progress(tf_keras.callbacks.Callback):  # type: ignore[misc]  # tf_keras has no types
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            values = logs or {}
            for name in ("loss", "val_loss"):
                if not math.isfinite(values.get(name, 0.0)):
                    raise TerminalError(
                        f"{context.variant}: {name} is {values[name]} in epoch "
                        f"{epoch + 1} of {epochs}",
                        hint="lower the learning rate, or look for NaN and very large values in "
                        "the training data",
                        subject=context.variant,
                        details={"epoch": epoch + 1},
                    )
            shown = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
            context.say(f"epoch {epoch + 1}/{epochs}  {shown}")

    return Progress()


def _first_lines(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # tf.function puts a traceback of generated code first; the cause stands at the end of it.
    causes = [line for line in lines if not line.startswith(("File ", "in user code"))]
    return " ".join((causes or lines)[-2:])[:500]
