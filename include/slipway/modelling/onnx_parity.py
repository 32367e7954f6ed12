"""How far an ONNX model's answers are from those of the SavedModel that it was made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.modelling.onnx_session import OnnxSession

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from slipway.modelling.saved_model import Signature

_EXAMPLES = 64
# Sizes of the batches that are asked where the model takes any: one, some, and the rest.
_BATCHES = (1, 2, 5)


@dataclass(frozen=True)
class Parity:
    """Two models' answers to the same examples.

    Attributes:
        largest_difference: Largest absolute difference of any two numbers.
        largest_excess: Largest difference as a share of what the tolerance allows there; at most
            1 is within it.
        examples: How many were asked.
        batches: Sizes in which they were asked.
    """

    largest_difference: float
    largest_excess: float
    examples: int
    batches: tuple[int, ...]


def compare(
    variant: str,
    file: Path,
    folder: Path,
    signature: Signature,
    examples: Mapping[str, Any],
    *,
    tolerance: float,
) -> Parity:
    """Ask an ONNX file and a SavedModel the same, in batches of several sizes.

    Args:
        variant: For messages.
        file: The ONNX model.
        folder: The SavedModel.
        signature: The signature of both.
        examples: By input name.
        tolerance: What two numbers may differ by, plus the same share of the SavedModel's, as
            `numpy.allclose` counts: |onnx - saved_model| <= tolerance * (1 + |saved_model|).

    Raises:
        TerminalError: onnxruntime cannot run the file, or it answers in another shape.
    """
    import numpy as np
    import tensorflow as tf

    session = _opened(variant, file)
    function = tf.saved_model.load(str(folder)).signatures[signature.name]
    fixed = next((shape[0] for _, shape in session.inputs.values() if shape), -1)
    largest = excess = 0.0
    asked: list[int] = []
    for inputs in _batches(examples, fixed):
        tensors = {
            name: tf.constant(values, dtype=signature.inputs[name].dtype)
            for name, values in inputs.items()
        }
        wanted = {name: value.numpy() for name, value in function(**tensors).items()}
        answered = _asked(variant, session, inputs)
        for name, values in wanted.items():
            found = answered.get(name)
            if found is None or found.shape != values.shape:
                raise _other_shape(variant, name, values, found)
            if values.dtype.kind not in "fc":
                difference = (found != values).astype(np.float64)
                allowed = np.full(values.shape, tolerance)
            else:
                difference = np.abs(found.astype(np.float64) - values)
                allowed = tolerance * (1 + np.abs(values))
            if not difference.size:
                continue
            # NaN compares with nothing: it must stand in both at the same place.
            difference = np.where(_both_nan(found, values), 0.0, difference)
            difference = np.where(np.isnan(difference), np.inf, difference)
            largest = max(largest, float(difference.max()))
            excess = max(excess, float((difference / allowed).max()))
        asked.append(len(next(iter(inputs.values()))))
    return Parity(largest, excess, sum(asked), tuple(dict.fromkeys(asked)))


def _opened(variant: str, file: Path) -> OnnxSession:
    try:
        return OnnxSession(file)
    except Exception as error:
        raise _unrunnable(variant, error) from error


def _asked(variant: str, session: OnnxSession, inputs: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return session.run(inputs)
    except Exception as error:
        raise _unrunnable(variant, error) from error


def _batches(examples: Mapping[str, Any], fixed: int) -> Iterator[dict[str, Any]]:
    import numpy as np

    total = len(next(iter(examples.values())))
    sizes = iter(_BATCHES) if fixed < 0 else iter(())
    start, count = 0, min(_EXAMPLES, total)
    while start < count:
        size = fixed if fixed > 0 else min(next(sizes, count), count - start)
        places = np.arange(start, start + size) % total  # a fixed batch must be full
        yield {name: values[places] for name, values in examples.items()}
        start += size


def _both_nan(found: Any, values: Any) -> Any:
    import numpy as np

    if values.dtype.kind not in "fc":
        return np.zeros(values.shape, dtype=bool)
    return np.isnan(found) & np.isnan(values)


def _other_shape(variant: str, name: str, wanted: Any, found: Any) -> TerminalError:
    given = "no such output" if found is None else f"{list(found.shape)}"
    return TerminalError(
        f"{variant}: the ONNX model gives {given} for the output {name!r}, the SavedModel "
        f"{list(wanted.shape)}",
        hint="the export lost a dimension: try another opset, or onnx.simplify: false",
        subject=name,
    )


def _unrunnable(variant: str, error: Exception) -> TerminalError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return TerminalError(
        f"{variant}: the model was converted, but onnxruntime cannot run it: {lines[0]}",
        hint="try a lower opset, another precision, or onnx.simplify: false",
        subject=variant,
    )
