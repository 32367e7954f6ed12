"""Export: a SavedModel with one signature, the same bytes for the same model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.modelling import keras
from slipway.modelling.warmup import write_warmup

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from slipway.definition import Definition, Examples

SIGNATURE = "serving_default"


def signature_inputs(model: Any, definition: Definition) -> dict[str, Any]:
    """tf.TensorSpec by name of the served inputs: SIGNATURE_INPUTS, else the model's own.

    Raises:
        TerminalError: if the definition names none and the model has none, or the batch is fixed.
    """
    import tensorflow as tf

    declared = definition.get("SIGNATURE_INPUTS", None)
    if declared is not None:
        specs = {
            name: tf.TensorSpec(spec.shape, spec.dtype, name=name)
            for name, spec in declared.items()
        }
    elif keras.is_graph(model):
        specs = {
            name: tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype, name=name)
            for name, tensor in zip(model.input_names, model.inputs, strict=True)
        }
    else:
        raise TerminalError(
            f"the inputs of the subclassed model of {definition.file.name} are not known",
            hint="add SIGNATURE_INPUTS = {name: tf.TensorSpec([None, ...], dtype)} to it",
            subject=str(definition.file),
        )
    fixed = next((name for name, spec in specs.items() if spec.shape[:1] != [None]), None)
    if fixed is not None:
        raise TerminalError(
            f"SIGNATURE_INPUTS in {definition.file.name}: the shape of {fixed!r} is "
            f"{specs[fixed].shape}, but the first dimension must be None, the batch",
            hint="write tf.TensorSpec([None, ...], dtype)",
            subject=str(definition.file),
        )
    return specs


def feed(model: Any, inputs: Mapping[str, Any]) -> Any:
    """Named inputs as the model wants to be called: one tensor alone, several as a dict."""
    if len(inputs) == 1:
        return next(iter(inputs.values()))
    return {name: inputs[name] for name in getattr(model, "input_names", None) or inputs}


def export_keras(
    model: Any,
    folder: Path,
    *,
    inputs: Mapping[str, Any],
    outputs: tuple[str, ...],
    warmup: Examples,
    name: str,
) -> None:
    """Write the inference graph as a SavedModel with the one signature serving_default.

    Args:
        model: A tf_keras model.
        folder: Where to; it must not exist yet.
        inputs: tf.TensorSpec by input name.
        outputs: Names of the outputs, in the model's order.
        warmup: Examples of which the warm-up requests are made.
        name: The model's name, for the warm-up requests.
    """
    import tensorflow as tf

    @tf.function(input_signature=[dict(inputs)])  # type: ignore[untyped-decorator]  # no types
    def serve(tensors: Any) -> Any:
        answers = tf.nest.flatten(model(feed(model, tensors), training=False))
        return dict(zip(outputs, answers, strict=True))

    module = tf.Module()
    module.served_variables = model.variables
    # Lookup tables and the like must hang on the module, or the graph cannot refer to them.
    module.served_resources = [
        item
        for item in tf.train.TrackableView(model).descendants()
        if isinstance(item, tf.saved_model.experimental.TrackableResource)
    ]
    signature = serve.get_concrete_function()
    tf.saved_model.save(module, str(folder), signatures={SIGNATURE: signature})
    # It holds a random id, and servers do without it: no byte here may differ from run to run.
    (folder / "fingerprint.pb").unlink(missing_ok=True)
    write_warmup(folder, name, SIGNATURE, warmup)
