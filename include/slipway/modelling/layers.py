"""The layers of a Keras model: which there are, by name, and which hold a kernel."""

from __future__ import annotations

from difflib import get_close_matches
from itertools import chain
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.modelling.keras import is_graph

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from slipway.steps.base import StepContext


def require_graph(context: StepContext, model: Any) -> None:
    """Refuse a subclassed model: tfmot can wrap the layers of a graph only.

    Raises:
        TerminalError: naming the model's class.
    """
    if is_graph(model):
        return
    name = type(model).__name__
    raise TerminalError(
        f"{context.variant}: {context.request.step} works on Sequential and functional models, "
        f"and {name} is a subclassed one",
        hint="build it with tf_keras.Input and tf_keras.Model(inputs, outputs)",
        subject=name,
    )


def leaf_layers(model: Any) -> dict[str, Any]:
    """Every layer by name, those of nested models too, without the models and the inputs."""
    import tf_keras

    found: dict[str, Any] = {}
    for layer in model.layers:
        if isinstance(layer, tf_keras.Model):
            found |= leaf_layers(layer)
        elif not isinstance(layer, tf_keras.layers.InputLayer):
            found[layer.name] = layer
    return found


def choose(
    context: StepContext, usable: Sequence[str], wanted: Sequence[str] | None, every: Sequence[str]
) -> list[str]:
    """Names of the layers that a technique works on.

    Args:
        context: For messages.
        usable: Layers that the technique can work on.
        wanted: What the config names; None for all that can be.
        every: All layers of the model.

    Raises:
        TerminalError: if a name is unknown, with the nearest one; if the technique cannot work
            on a named layer; or if there is none that it can work on.
    """
    step = context.request.step
    if wanted is None and not usable:
        raise TerminalError(
            f"{context.variant}: the model has no layer that {step} can work on",
            hint="leave this variant out",
            subject=context.variant,
        )
    for name in wanted or ():
        if name not in every:
            near = get_close_matches(name, every, n=1, cutoff=0.4)
            guess = f"; did you mean {near[0]!r}?" if near else ""
            raise TerminalError(
                f"{context.variant}: the model has no layer {name!r}{guess}",
                hint=f"name layers of {', '.join(every)}",
                subject=f"{step}.layers",
            )
        if name not in usable:
            raise TerminalError(
                f"{context.variant}: {step} cannot work on the layer {name!r}",
                hint=f"it can on {', '.join(usable) or 'none'}",
                subject=f"{step}.layers",
            )
    return [name for name in every if name in (usable if wanted is None else wanted)]


def prunable_kernels(model: Any) -> dict[str, list[Any]]:
    """Variables that pruning can set to zero, by layer; layers without any are left out."""
    from tensorflow_model_optimization.python.core.sparsity.keras.prune_registry import (
        PruneRegistry,
    )
    from tensorflow_model_optimization.sparsity.keras import PrunableLayer

    kernels: dict[str, list[Any]] = {}
    for name, layer in leaf_layers(model).items():
        if isinstance(layer, PrunableLayer):
            weights = layer.get_prunable_weights()
        elif PruneRegistry.supports(layer):
            weights = PruneRegistry.make_prunable(layer).get_prunable_weights()
        else:
            continue
        if weights:
            kernels[name] = list(weights)
    return kernels


def is_stateless(layer: Any) -> bool:
    """Whether a layer learns nothing by gradient: preprocessing, reshaping, activation."""
    return not layer.trainable_weights


def zero_share(values: Any) -> float:
    """Share of the numbers that are exactly zero, 0 to 1."""
    import numpy as np

    return float(np.mean(np.asarray(values) == 0.0))


def zero_share_of_all(variables: Iterable[Iterable[Any]]) -> float:
    """Share of zeros over groups of variables taken together, 0 to 1."""
    import numpy as np

    flat = [variable.numpy().ravel() for variable in chain.from_iterable(variables)]
    return zero_share(np.concatenate(flat))
