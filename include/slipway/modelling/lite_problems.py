"""The converter's errors, turned into one plain sentence."""

from __future__ import annotations

import re

from slipway.errors import TerminalError
from slipway.modelling.naming import layer_in

# Of TensorFlow, by which lists of tensors are kept: what a layer with a loop becomes.
_LISTS = "tf.TensorList"
_UNROLL = (
    "write LSTM, GRU and other loops without the loop: unroll=True, which takes any batch and the "
    "same weights; TFLite has the loop for fixed batches only, or leave this variant out"
)
_WAYS_OUT = {
    "float32": "set select_tf_ops, which needs a server that links TensorFlow's own operations, "
    "replace the operation by one that TFLite has, move it out of the model, or leave this variant "
    "out",
    "selected": "TFLite has no form of it at all: replace the operation, move it out of the model, "
    "or leave this variant out",
    "int8": "use precision dynamic_range or float16, which keep float where it is needed, name "
    "the layer in keep_float, or replace the operation",
}
_LONGEST_MESSAGE = 400
# What its messages name beside the operation that they are about.
_NO_OPERATION = frozenset({"", "tf.", "tf.Const"})


def unconvertible(
    variant: str, precision: str, error: Exception, *, selected: bool = False
) -> TerminalError:
    """What to tell of an error of the converter: the operation, the layer and the ways out."""
    text = str(error)
    operations = _operations(error, text)
    layers = _layers(error, text)
    way = "int8" if precision in {"int8", "int16x8"} else "selected" if selected else "float32"
    hint = _UNROLL if any(name.startswith(_LISTS) for name in operations) else _WAYS_OUT[way]
    details = {"operations": operations, "layers": layers, "precision": precision}
    if not operations:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        shown = (lines or [type(error).__name__])[0][:_LONGEST_MESSAGE]
        message = f"{variant}: the TFLite converter failed for {precision}: {shown}"
        return TerminalError(message, hint=hint, subject=variant, details=details)
    place = f", in the layer {layers[0]}" if layers else ""
    named = ", ".join(operations)
    return TerminalError(
        f"{variant}: TFLite cannot run {named} with precision {precision}{place}",
        hint=hint,
        subject=operations[0],
        details=details,
    )


def _operations(error: Exception, text: str) -> list[str]:
    """Operations that the converter names, in its error data or in its text."""
    found = [item.operator.name for item in getattr(error, "errors", ()) if item.operator.name]
    for group in re.findall(r"(?:Flex|Custom) ops: ([\w, ]+)", text):
        found += [f"tf.{name.strip().removeprefix('Flex')}" for name in group.split(",")]
    found += re.findall(r"'(tfl?\.[\w.]+)' op", text)
    found += re.findall(r"Quantization not yet supported for op: '?([\w.]+)", text)
    return list(dict.fromkeys(name for name in found if name not in _NO_OPERATION))


def _layers(error: Exception, text: str) -> list[str]:
    """Layers, as far as the operation's location tells them."""
    places = [
        call.name
        for item in getattr(error, "errors", ())
        for call in item.location.call
        if call.name
    ]
    places += re.findall(r'loc\((?:fused\[)?(?:callsite\()?"([^"]+)"', text)
    names = [layer_in(place.split("/")).split(":")[0] for place in places if "/" in place]
    return list(dict.fromkeys(name for name in names if name))
