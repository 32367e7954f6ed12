"""Conversion of a SavedModel to TFLite."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from slipway.modelling import lite_graph, lite_recipes
from slipway.modelling.lite_problems import unconvertible

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from slipway.modelling.lite_recipes import Dataset, Recipe

Precision = Literal["float32", "dynamic_range", "float16", "int8", "int16x8"]
Optimization = Literal["DEFAULT", "OPTIMIZE_FOR_SIZE", "OPTIMIZE_FOR_LATENCY"]

INTEGER = ("int8", "int16x8")

# Warnings of the interpreters that are used on the way, which say nothing of the model.
_OF_THE_WAY = ("tf.lite.Interp", "experimental_preserve_all_tensors")


@dataclass(frozen=True)
class Options:
    """How to convert.

    Attributes:
        precision: Of weights and of what flows between layers.
        optimization: The converter's own word for anything but float32.
        recipe: Quantize by LiteRT's quantizer instead, by this recipe; None: by the converter.
        integer_io: Whether inputs and outputs are integers too; calibrated precisions only.
        per_channel: Whether each channel of a weight has a scale of its own.
        keep_float: Layers or kinds of operations that stay float.
        select_tf_ops: Whether TensorFlow's own operations stand in for those that TFLite lacks.
    """

    precision: Precision = "float32"
    optimization: Optimization = "DEFAULT"
    recipe: Recipe | None = None
    integer_io: bool = False
    per_channel: bool = True
    keep_float: tuple[str, ...] = ()
    select_tf_ops: bool = False

    @property
    def is_calibrated(self) -> bool:
        """Whether examples are needed."""
        if self.recipe is not None:
            return lite_recipes.is_calibrated(self.recipe)
        return self.precision in INTEGER


@dataclass(frozen=True)
class Conversion:
    """What the converter gave.

    Attributes:
        content: The flatbuffer.
        float_content: The same model in float32, where it was needed on the way.
        warnings: What it warned of, without repetitions.
    """

    content: bytes
    float_content: bytes | None
    warnings: list[str]


def convert(
    variant: str,
    folder: Path,
    signatures: Sequence[str],
    options: Options,
    dataset: Dataset | None = None,
) -> Conversion:
    """Convert signatures of a SavedModel.

    Args:
        variant: For messages.
        folder: The SavedModel.
        signatures: Its signatures to convert; the first one is the one that is served.
        options: How.
        dataset: Representative dataset: single examples by signature, where it is calibrated.

    Raises:
        TerminalError: naming the operation that cannot be converted, or a name in keep_float that
            means none.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        original, kept = None, []
        if options.recipe is not None or options.is_calibrated:
            plain = Options(select_tf_ops=options.select_tf_ops)
            original = _converted(variant, folder, signatures, plain)
            kept = _float_tensors(variant, original, signatures[0], options.keep_float)
        if options.recipe is not None and original is not None:
            content = _by_recipe(variant, original, options, kept, dataset)
        else:
            content = _converted(variant, folder, signatures, options, dataset, kept)
    said = [
        text
        for item in caught
        if (text := str(item.message).strip()) and not any(each in text for each in _OF_THE_WAY)
    ]
    told = list(dict.fromkeys(text.splitlines()[0] for text in said))
    return Conversion(content, original, told)


def _converted(
    variant: str,
    folder: Path,
    signatures: Sequence[str],
    options: Options,
    dataset: Dataset | None = None,
    float_tensors: Sequence[str] = (),
) -> bytes:
    converter = _converter(folder, signatures, options, dataset)
    try:
        if float_tensors:
            return _mixed(converter, float_tensors, integer_io=options.integer_io)
        content: bytes = converter.convert()
    except Exception as error:
        raise unconvertible(
            variant, options.precision, error, selected=options.select_tf_ops
        ) from error
    return content


def _converter(
    folder: Path, signatures: Sequence[str], options: Options, dataset: Dataset | None
) -> Any:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(folder), signature_keys=list(signatures[:1])
    )
    # Given several at once it drops them all, without a word, if the model has a function `serve`.
    converter._saved_model_exported_names = list(signatures)  # noqa: SLF001
    ops = tf.lite.OpsSet
    usable = [ops.TFLITE_BUILTINS]
    if options.precision != "float32":
        converter.optimizations = [getattr(tf.lite.Optimize, options.optimization)]
        # The converter has no public name for it.
        converter._experimental_disable_per_channel = not options.per_channel  # noqa: SLF001
    if options.precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if options.is_calibrated:
        wide = ops.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        narrow = options.precision == "int8"
        usable = [ops.TFLITE_BUILTINS_INT8 if narrow else wide]
        converter.representative_dataset = dataset
        if options.integer_io:
            io = tf.int8 if narrow else tf.int16
            converter.inference_input_type = converter.inference_output_type = io
    selected = [ops.SELECT_TF_OPS] if options.select_tf_ops else []
    converter.target_spec.supported_ops = [*usable, *selected]
    return converter


def _mixed(converter: Any, float_tensors: Sequence[str], *, integer_io: bool) -> bytes:
    """int8 but for the operations that write these tensors, by TensorFlow's own debugger."""
    import tensorflow as tf

    debugging = tf.lite.experimental
    options = debugging.QuantizationDebugOptions(
        denylisted_nodes=list(float_tensors), fully_quantize=integer_io
    )
    debugger = debugging.QuantizationDebugger(
        converter=converter,
        debug_dataset=converter.representative_dataset,
        debug_options=options,
    )
    content: bytes = debugger.get_nondebug_quantized_model()
    return content


def _by_recipe(
    variant: str,
    original: bytes,
    options: Options,
    kept: Sequence[str],
    dataset: Dataset | None,
) -> bytes:
    recipe = options.recipe or "dynamic_wi8_afp32"
    try:
        return lite_recipes.quantize(
            original, recipe, integer_io=options.integer_io, float_tensors=kept, dataset=dataset
        )
    except Exception as error:
        raise unconvertible(variant, recipe, error) from error


def _float_tensors(
    variant: str, original: bytes, signature: str, names: Sequence[str]
) -> list[str]:
    """Names of the tensors that the operations write which are to stay float."""
    if not names:
        return []
    graph = lite_graph.read_graph(original, signature)
    found = lite_graph.named_operations(variant, graph, names)
    return [graph.names[index] for operation in found for index in operation.outputs]
