"""Keras models: built from a definition, kept in an artifact, rebuilt by later techniques."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from slipway.errors import TerminalError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from slipway.definition import Definition
    from slipway.steps.base import StepContext

Builder = Literal["build_model", "build_student"]


@dataclass(frozen=True)
class Architecture:
    """How the model of a "keras" artifact is built again; kept as architecture.json.

    Attributes:
        builder: The definition's function that builds it.
        outputs: Names of the served outputs: those of the original, whatever a technique calls
            its layers, so that a client never sees which variant answers.
        quantized: Whether quantization was simulated in training. The layers are then wrapped,
            and no further Keras technique can work on them.
    """

    builder: Builder
    outputs: tuple[str, ...]
    quantized: bool = False


def make_repeatable(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow, and let TensorFlow use deterministic kernels only."""
    import tensorflow as tf
    import tf_keras

    tf_keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def build(definition: Definition, builder: Builder) -> Any:
    """A fresh model of the definition: compiled, built and of Keras 2.

    Raises:
        TerminalError: if the function fails or gives something else.
    """
    import tf_keras

    # Layers without a name are numbered by process: begin anew, so that names never differ.
    tf_keras.backend.reset_uids()
    model = definition.call(builder)
    place = f"{builder} in {definition.file.name}"
    problem = None
    if not isinstance(model, tf_keras.Model):
        cls = type(model)
        hint = f"return a compiled tf_keras.Model from {builder}"
        if cls.__module__.startswith("keras."):
            hint = (
                "write `import tf_keras` in place of `import keras`; tfmot cannot work on Keras 3"
            )
        problem = f"{place} returned {cls.__module__}.{cls.__name__}, not a tf_keras model"
    elif getattr(model, "optimizer", None) is None:
        problem, hint = f"{place} returned a model that is not compiled", "call model.compile"
    elif not model.built:
        problem = f"{place} returned a model without weights"
        hint = "begin it with tf_keras.Input, or call it once on an example"
    if problem:
        raise TerminalError(problem, hint=hint, subject=str(definition.file))
    return model


def is_graph(model: Any) -> bool:
    """Whether a model is Sequential or functional, so that its layers can be wrapped."""
    import tf_keras

    return isinstance(model, (tf_keras.Sequential, tf_keras.models.Model)) and bool(
        getattr(model, "_is_graph_network", False)
    )


def output_names(model: Any) -> tuple[str, ...]:
    """Names of a model's outputs, as it names them itself."""
    return tuple(getattr(model, "output_names", None) or ("output",))


def save_weights(model: Any, architecture: Architecture, folder: Path) -> None:
    """Write weights.npz, in the order of model.get_weights(), and architecture.json."""
    import numpy as np

    weights = model.get_weights()
    np.savez(folder / "weights.npz", *weights)
    text = json.dumps(asdict(architecture), indent=1, sort_keys=True)
    (folder / "architecture.json").write_text(text + "\n", "utf-8")


def load_model(context: StepContext, definition: Definition) -> tuple[Any, Architecture]:
    """The model that a technique starts from, with its weights, and how it was built.

    Raises:
        TerminalError: if it is quantized already, or the definition builds another model.
    """
    import numpy as np

    folder = context.input("source").path
    architecture = _read_architecture(folder / "architecture.json")
    if architecture.quantized:
        raise TerminalError(
            f"{context.variant}: {context.request.step} cannot work on a model that was trained "
            "with quantization",
            hint="put quantize last among the Keras techniques; only tflite can follow it",
            subject=context.variant,
        )
    model = build(definition, architecture.builder)
    with np.load(folder / "weights.npz") as stored:
        weights = [stored[f"arr_{index}"] for index in range(len(stored.files))]
    set_weights(model, weights, f"{architecture.builder} in {definition.file.name}")
    return model, architecture


def set_weights(model: Any, weights: Sequence[Any], place: str) -> None:
    """Set weights, and what preprocessing layers derive from them.

    Raises:
        TerminalError: if the model has other weights.
    """
    import tf_keras

    try:
        model.set_weights(weights)
    except ValueError as error:
        raise TerminalError(
            f"{place} now builds a model with other weights: {error}",
            hint="let it always build the same model; run the training again",
            subject=place,
        ) from None
    for layer in model.submodules:
        if isinstance(layer, tf_keras.layers.Normalization):
            layer.finalize_state()


def parameter_count(model: Any) -> int:
    """How many numbers the model has learned, trainable or not."""
    import numpy as np

    return int(sum(np.size(weight) for weight in model.get_weights()))


def as_quantized(architecture: Architecture) -> Architecture:
    """The same architecture with quantization simulated in it."""
    return replace(architecture, quantized=True)


def is_quantized(folder: Path) -> bool:
    """Whether an artifact's folder holds a model with quantization simulated in it."""
    file = folder / "architecture.json"
    return file.is_file() and _read_architecture(file).quantized


def _read_architecture(file: Path) -> Architecture:
    try:
        values = json.loads(file.read_text("utf-8"))
        return Architecture(
            builder=values["builder"],
            outputs=tuple(values["outputs"]),
            quantized=values["quantized"],
        )
    except (OSError, ValueError, KeyError) as error:
        raise TerminalError(
            f"{file} cannot be read: {error}",
            hint="clear the step that made it; the artifact is damaged",
            subject=str(file),
        ) from None
