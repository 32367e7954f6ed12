"""TF-TRT: TensorRT engines inside a SavedModel, by the converter of TensorFlow 2.17 and older."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.modelling.shapes import complete_profiles, described, largest_batch, shapes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from slipway.modelling.saved_model import Signature
    from slipway.modelling.shapes import BatchRange, Profile

    Batches = Iterator[Mapping[str, np.ndarray]]

# tensorflow #87911: from 2.18 on it is built without TensorRT.
NEWEST_TENSORFLOW = (2, 17)
PRECISIONS = {"float32": "FP32", "float16": "FP16", "int8": "INT8"}
_CONVERTED = re.compile(r"% of OPs Converted: .*\[([0-9]+)/([0-9]+)\]")
_ENGINES = re.compile(r"Total number of TensorRT engines: ([0-9]+)")


@dataclass(frozen=True)
class ConvertOptions:
    """How a SavedModel is converted.

    Attributes:
        batch: Range of the batch, for inputs that no profile names.
        precision: "float32", "float16" or "int8".
        workspace_bytes: Most memory that an engine may use while it runs.
        minimum_segment_size: Fewest operations that are worth an engine.
        dynamic_shape_mode: TF-TRT's strategy for profiles; None: an engine for each shape.
        profiles: Shapes for which engines are built ahead, as the spec gives them.
        build_at_runtime: Whether the server builds an engine for a shape that has none.
    """

    batch: BatchRange
    precision: str = "float32"
    workspace_bytes: int = 1 << 30
    minimum_segment_size: int = 3
    dynamic_shape_mode: str | None = "Range"
    profiles: Sequence[Profile] = ()
    build_at_runtime: bool = False


@dataclass(frozen=True)
class Conversion:
    """What was converted.

    Attributes:
        tensorrt: Version that TensorFlow has loaded.
        engines: How many engines the SavedModel has.
        converted_operations: Operations that run in them.
        operations: All of them.
        profiles: The shapes for which engines were built, as JSON.
        largest_batch: 0 if the batch is not dynamic.
    """

    tensorrt: str
    engines: int
    converted_operations: int
    operations: int
    profiles: list[dict[str, Any]]
    largest_batch: int


def can_convert(tensorflow: str) -> bool:
    """Whether a version of TensorFlow has TF-TRT."""
    major, minor = (int(part) for part in tensorflow.split(".")[:2])
    return (major, minor) <= NEWEST_TENSORFLOW


def convert(
    variant: str,
    folder: Path,
    signature: Signature,
    target: Path,
    options: ConvertOptions,
    calibration: Callable[[], Batches] | None = None,
) -> Conversion:
    """Convert a SavedModel on the GPU of this process, and build its engines.

    Args:
        variant: For messages.
        folder: The SavedModel.
        signature: The signature to convert; the result has this one alone.
        target: Where the SavedModel with engines goes.
        options: How.
        calibration: Gives batches of one shape, by input name, for int8.

    Raises:
        TerminalError: The profiles do not fit, TF-TRT refuses, or no operation could be converted.
    """
    trt = import_module("tensorflow.python.compiler.tensorrt.trt_convert")
    inputs = {
        name: tuple(-1 if size is None else size for size in spec.shape.as_list())
        for name, spec in signature.inputs.items()
    }
    profiles = complete_profiles(variant, inputs, options.profiles, options.batch)
    lines: list[str] = []
    try:
        converter = trt.TrtGraphConverterV2(
            input_saved_model_dir=str(folder),
            input_saved_model_signature_key=signature.name,
            use_dynamic_shape=options.dynamic_shape_mode is not None,
            dynamic_shape_profile_strategy=options.dynamic_shape_mode,
            max_workspace_size_bytes=options.workspace_bytes,
            precision_mode=PRECISIONS[options.precision],
            minimum_segment_size=options.minimum_segment_size,
            maximum_cached_engines=3 * len(profiles),
            use_calibration=calibration is not None,
            allow_build_at_runtime=options.build_at_runtime,
        )
        converter.convert(calibration_input_fn=calibration)
        converter.summary(detailed=False, print_fn=lines.append)
        converter.build(input_fn=lambda: _examples(profiles, signature))
        converter.save(output_saved_model_dir=str(target))
    except (RuntimeError, ValueError, NotImplementedError) as error:
        raise TerminalError(
            f"{variant}: TF-TRT cannot convert it: {str(error).strip().splitlines()[0]}",
            hint="try float32, a larger tensorrt.minimum_segment_size, or backend onnx",
            subject=variant,
        ) from error
    engines, converted, operations = _summary(lines)
    if not converted:
        raise TerminalError(
            f"{variant}: TF-TRT converted none of the {operations} operations",
            hint="lower tensorrt.minimum_segment_size, or use backend onnx",
            subject="tensorrt.minimum_segment_size",
        )
    return Conversion(
        ".".join(str(part) for part in _loaded_tensorrt()),
        engines,
        converted,
        operations,
        described(profiles),
        largest_batch(profiles, inputs),
    )


def _examples(profiles: Sequence[Profile], signature: Signature) -> Batches:
    """Zeros of every shape that engines are built for."""
    import numpy as np

    for profile in profiles:
        for shapes in shapes_of(profile):
            yield {
                name: np.zeros(shape, signature.inputs[name].dtype.as_numpy_dtype)
                for name, shape in shapes.items()
            }


def _summary(lines: Sequence[str]) -> tuple[int, int, int]:
    """Engines, converted operations and all operations, as TF-TRT's summary says them."""
    text = "\n".join(lines)
    counted, engines = _CONVERTED.search(text), _ENGINES.search(text)
    if counted is None or engines is None:
        return 0, 0, 0
    return int(engines[1]), int(counted[1]), int(counted[2])


def _loaded_tensorrt() -> tuple[int, int, int]:
    versions = import_module("tensorflow.compiler.tf2tensorrt._pywrap_py_utils")
    found: tuple[int, int, int] = versions.get_loaded_tensorrt_version()
    return found
