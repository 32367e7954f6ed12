"""Quantization-aware training: 8-bit arithmetic simulated in the layers of a Keras model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.modelling import layers
from slipway.modelling.export import feed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.definition import Examples
    from slipway.steps.base import StepContext

_PROBE_EXAMPLES = 64
_LARGEST_LOSS_OF_CORRELATION = 0.5


def choose_layers(context: StepContext, model: Any, wanted: Sequence[str] | None) -> list[str]:
    """Names of the layers to quantize.

    Raises:
        TerminalError: as `layers.choose`; or, if all are wanted, naming a layer that learns but
            that tfmot cannot quantize; or if a model stands inside the model.
    """
    import tf_keras
    from tensorflow_model_optimization.quantization.keras.default_8bit import (
        Default8BitQuantizeRegistry,
    )

    registry = Default8BitQuantizeRegistry()
    nested = next((item.name for item in model.layers if isinstance(item, tf_keras.Model)), None)
    if nested is not None:
        raise TerminalError(
            f"{context.variant}: quantize cannot work on the model {nested!r} inside the model",
            hint="build it from layers alone",
            subject=nested,
        )
    every = layers.leaf_layers(model)
    usable = [name for name, layer in every.items() if _supported(layer, registry)]
    if wanted is None:
        for name, layer in every.items():
            if name not in usable and not layers.is_stateless(layer):
                raise TerminalError(
                    f"{context.variant}: tfmot cannot quantize the layer {name!r}, "
                    f"a {type(layer).__name__}",
                    hint="name the layers to quantize in quantize.layers; it can quantize "
                    f"{', '.join(usable) or 'none of them'}",
                    subject=name,
                )
    return layers.choose(context, usable, wanted, list(every))


def with_simulation(
    context: StepContext, model: Any, chosen: Sequence[str], *, preserve_sparsity: bool
) -> Any:
    """A copy of the model in which the chosen layers simulate 8 bits.

    Raises:
        TerminalError: if tfmot cannot rebuild the model.
    """
    import tensorflow_model_optimization as tfmot
    import tf_keras

    tool = tfmot.quantization.keras

    def annotated(layer: Any) -> Any:
        if layer.name in chosen:
            return tool.quantize_annotate_layer(layer)
        return layer

    options: dict[str, Any] = {}
    if preserve_sparsity:
        options["scheme"] = tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme()
    try:
        marked = tf_keras.models.clone_model(model, clone_function=annotated)
        with tool.quantize_scope():
            return tool.quantize_apply(marked, **options)
    except (ValueError, RuntimeError, TypeError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise TerminalError(
            f"{context.variant}: tfmot cannot rebuild the model with quantization: {lines[0]}",
            hint="name fewer layers in quantize.layers, or leave quantize out: tflite with "
            "precision int8 quantizes without training",
            subject=context.variant,
        ) from error


def require_same_answers(
    context: StepContext, model: Any, quantized: Any, examples: Examples
) -> None:
    """Refuse a copy that lost part of the model, such as a vocabulary learned by adapt().

    tfmot rebuilds every layer from its config. The answers of the copy, not yet trained, must
    still follow those of the model.

    Raises:
        TerminalError: naming the layers that carry a state of their own.
    """
    import numpy as np

    few = feed(model, examples.take(_PROBE_EXAMPLES).inputs)
    problem = None
    try:
        # The ranges of the weights are not known to the copy before its first training pass.
        quantized(few, training=True)
        answers = [np.ravel(one.predict(few, verbose=0)) for one in (model, quantized)]
    except Exception as error:  # noqa: BLE001  # whatever it is, the copy does not work
        problem = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    else:
        spread = [float(np.std(values)) for values in answers]
        follows = float(np.corrcoef(answers[0], answers[1])[0, 1]) if min(spread) > 0 else 0.0
        if spread[0] > 0 and follows < 1 - _LARGEST_LOSS_OF_CORRELATION:
            problem = f"its answers follow the model's with a correlation of only {follows:.2f}"
    if problem:
        kept = [name for name, layer in layers.leaf_layers(model).items() if _adapts(layer)]
        raise TerminalError(
            f"{context.variant}: the copy that tfmot made for quantization is not the same model: "
            f"{problem}",
            hint="give preprocessing layers their vocabulary, mean and variance as arguments in "
            "place of adapt()" + (f": {', '.join(kept)}" if kept else ""),
            subject=", ".join(kept) or context.variant,
        )


def zeros_by_kernel(model: Any, chosen: Sequence[str]) -> dict[str, float]:
    """Share of zeros in the kernel of each chosen layer that has one, before or after wrapping."""
    found = {}
    for layer in layers.leaf_layers(model).values():
        name = getattr(layer, "layer", layer).name
        kernel = next((item for item in layer.weights if _is_kernel(item)), None)
        if name in chosen and kernel is not None:
            found[name] = round(layers.zero_share(kernel.numpy()), 4)
    return found


def _is_kernel(variable: Any) -> bool:
    return str(variable.name).rsplit("/", 1)[-1] in {"kernel:0", "depthwise_kernel:0"}


def _supported(layer: Any, registry: Any) -> bool:
    """Whether tfmot quantizes the layer, alone or, as with normalization, with its neighbours."""
    import tf_keras

    together = (tf_keras.layers.BatchNormalization, tf_keras.layers.ReLU)
    return bool(registry.supports(layer)) or isinstance(layer, together)


def _adapts(layer: Any) -> bool:
    return hasattr(layer, "adapt")
