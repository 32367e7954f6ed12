"""A SavedModel's signature as an ONNX graph: exported, shapes inferred, simplified, checked."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.modelling.onnx_graph import layer_of, name_batch, set_signature

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.modelling.saved_model import Signature

# Q/DQ nodes with a scale for each channel are there from 13 on; tf2onnx writes up to 18.
# https://github.com/onnx/onnx/blob/main/docs/Operators.md#QuantizeLinear
OLDEST_OPSET, NEWEST_OPSET = 13, 18
_WAYS_OUT = (
    "replace the operation, keep it in TensorFlow (tf_trt keeps what TensorRT lacks, tflite has "
    "select_tf_ops), or leave this variant out"
)
_LONGEST_MESSAGE = 400
_EXPORTER_LOG = "tf2onnx"


@dataclass(frozen=True)
class _Unsupported:
    """An operation that the exporter could not write.

    Attributes:
        operation: TensorFlow's name of it.
        node: Its node's name.
        why: What the exporter said; "" if it knows no such operation.
    """

    operation: str
    node: str
    why: str = ""


def export(
    variant: str,
    folder: Path,
    signature: Signature,
    *,
    opset: int,
    simplify: bool = True,
) -> Any:
    """One signature of a SavedModel as a checked ONNX model in float32.

    Inputs and outputs keep the signature's names and types; the first dimension of each is
    "batch" where the signature leaves it open.

    Args:
        variant: For messages.
        folder: The SavedModel.
        signature: Its signature to export.
        opset: Version of ONNX's operator set.
        simplify: Whether constants are folded and what repeats is merged.

    Returns:
        onnx.ModelProto.

    Raises:
        TerminalError: naming the operation that cannot be converted and its layer.
    """
    model = _converted(variant, folder, signature, opset)
    set_signature(model, signature.name)
    name_batch(model)
    if simplify:
        model = _simplified(variant, model)
    return checked(variant, model)


def checked(variant: str, model: Any) -> Any:
    """The model with every shape that follows from its inputs' inferred.

    Raises:
        TerminalError: if it is no valid ONNX.
    """
    import onnx

    try:
        del model.graph.value_info[:]
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        onnx.checker.check_model(inferred)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise TerminalError(
            f"{variant}: the graph that was made is no valid ONNX: {_first_line(error)}",
            hint="try another opset or precision, or onnx.simplify: false",
            subject=variant,
        ) from error
    return inferred


def _converted(variant: str, folder: Path, signature: Signature, opset: int) -> Any:
    import tensorflow as tf
    from tf2onnx import optimizer, tf_loader
    from tf2onnx.tfonnx import process_tf_graph

    complaints = _Complaints()
    log = logging.getLogger(_EXPORTER_LOG)
    log.addHandler(complaints)
    log.propagate, propagated = False, log.propagate
    try:
        graph, inputs, outputs, tables, names = tf_loader.from_saved_model(
            str(folder),
            None,
            None,
            tag=["serve"],
            signatures=[signature.name],
            return_initialized_tables=True,
            return_tensors_to_rename=True,
        )
        with tf.Graph().as_default() as frozen:
            tf.import_graph_def(graph, name="")
            converted = process_tf_graph(
                frozen,
                continue_on_error=True,
                opset=opset,
                input_names=inputs,
                output_names=outputs,
                tensors_to_rename=names,
                initialized_tables=tables,
                custom_op_handlers={"Erfc": (_erfc, [])},
            )
            if not complaints.found:
                return optimizer.optimize_graph(converted).make_model("slipway")
    except Exception as error:
        if not complaints.found:
            raise _failed(variant, opset, error) from error
    finally:
        log.removeHandler(complaints)
        log.propagate = propagated
    raise _unconvertible(variant, opset, complaints.found)


def _erfc(context: Any, node: Any, _name: str, _args: object) -> None:
    """1 - Erf, as ONNX has no Erfc: which TensorFlow makes of the activation gelu."""
    import numpy as np
    from tf2onnx.utils import map_onnx_to_numpy_type

    [source], [output] = node.input, node.output
    dtype, shape = context.get_dtype(output), context.get_shape(output)
    context.remove_node(node.name)
    error = context.make_node("Erf", [source], dtypes=[dtype], shapes=[shape])
    one = context.make_const(f"{node.name}_one", np.array(1, map_onnx_to_numpy_type(dtype)))
    context.make_node(
        "Sub",
        [one.output[0], error.output[0]],
        outputs=[output],
        name=node.name,
        dtypes=[dtype],
        shapes=[shape],
    )


def _simplified(variant: str, model: Any) -> Any:
    import onnxslim

    try:
        return onnxslim.slim(model)
    except Exception as error:
        raise TerminalError(
            f"{variant}: the ONNX graph could not be simplified: {_first_line(error)}",
            hint="set onnx.simplify: false",
            subject="onnx.simplify",
        ) from error


class _Complaints(logging.Handler):
    """Collects what the exporter says of operations: it logs each and goes on with the next."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[_Unsupported] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take in one message, by the arguments that tf2onnx/tfonnx.py logs it with."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        if str(record.msg).startswith("Tensorflow op [") and len(arguments) > 1:
            self.found.append(_Unsupported(str(arguments[1]), str(arguments[0])))
        elif str(record.msg).startswith("Failed to convert node") and arguments:
            why = record.exc_info[1] if record.exc_info else None
            kind = str(arguments[-1]).partition("OP=")[2].partition("\n")[0]
            node = str(arguments[0])
            self.found.append(_Unsupported(kind or node, node, _first_line(why) if why else ""))


def _unconvertible(variant: str, opset: int, found: list[_Unsupported]) -> TerminalError:
    layers = list(dict.fromkeys(layer_of(each.node) for each in found))
    operations = list(dict.fromkeys(each.operation for each in found))
    worst = found[0]
    others = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    why = f": {worst.why}" if worst.why else ""
    newer = _newer_opset(worst.operation, opset)
    hint = f"set onnx.opset to {newer} or above, which has it; else {_WAYS_OUT}"
    return TerminalError(
        f"{variant}: ONNX opset {opset} cannot express {worst.operation}, in the layer "
        f"{layers[0]}{others}{why}",
        hint=hint if newer else _WAYS_OUT,
        subject=worst.operation,
        details={"operations": operations, "layers": layers, "opset": opset},
    )


def _newer_opset(operation: str, opset: int) -> int | None:
    """The lowest opset above this one in which the exporter writes an operation."""
    from tf2onnx.handler import tf_op

    known = tf_op.get_opsets().get("", [])
    versions = [version for version, handled in enumerate(known) if operation in handled]
    if not versions or min(versions) <= opset:
        return None
    return min(versions) if min(versions) <= NEWEST_OPSET else None


def _failed(variant: str, opset: int, error: Exception) -> TerminalError:
    return TerminalError(
        f"{variant}: the export to ONNX opset {opset} failed: {_first_line(error)}",
        hint=f"try another opset; else {_WAYS_OUT}",
        subject=variant,
    )


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:_LONGEST_MESSAGE]
