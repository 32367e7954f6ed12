"""Calibration data: which examples quantization learns ranges from, and whether they will do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.modelling.data import fit, load_split

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slipway.definition import Definition, Examples
    from slipway.modelling.saved_model import Signature

CALIBRATION_DATA = "calibration_data"

# https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/post_training_integer_quant
# calibrates with 100 examples, and the guide speaks of 100 to 500.
FEW = 100
# Of values outside a range, from which on they are told: fewer are outliers.
_OUTSIDE = 0.01


@dataclass(frozen=True)
class Calibration:
    """Examples to calibrate with.

    Attributes:
        examples: By input name, spread over all that the definition gives.
        remarks: What may make them a poor choice, one sentence each.
    """

    examples: dict[str, Any]
    remarks: tuple[str, ...]

    def __len__(self) -> int:
        return len(next(iter(self.examples.values())))

    def single(self, names: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The examples one by one, each with a batch of one, of the inputs named."""
        for place in range(len(self)):
            yield {name: self.examples[name][place : place + 1] for name in names}


def load_calibration(
    variant: str, definition: Definition, signature: Signature, count: int
) -> Calibration:
    """Examples that a signature is calibrated with.

    They come from the definition's `calibration_data()`, which gives Examples, or else from the
    training split.

    Args:
        variant: For messages.
        definition: Where they come from.
        signature: What they must fit.
        count: How many at most.

    Raises:
        TerminalError: there are none, one is not finite, or all are the same: nothing can be
            learned from them; or they do not fit the signature.
    """
    training = load_split(definition, "train", signature.inputs)
    own = definition.has(CALIBRATION_DATA)
    given = training
    if own:
        place = f"{CALIBRATION_DATA}() in {definition.file.name}"
        given = fit(definition, definition.call(CALIBRATION_DATA), place, signature.inputs)
    source = f"{CALIBRATION_DATA}()" if own else "the training split"
    chosen = _spread(given, count)
    for name, values in chosen.items():
        _require_usable(variant, name, values, source, definition)
    remarks = _remarks(chosen, training.inputs, source)
    return Calibration(chosen, tuple(remarks))


def _spread(examples: Examples, count: int) -> dict[str, Any]:
    import numpy as np

    size = len(next(iter(examples.inputs.values())))
    places = np.linspace(0, size - 1, min(count, size)).astype(int)
    return {name: values[places] for name, values in examples.inputs.items()}


def _require_usable(
    variant: str, name: str, values: Any, source: str, definition: Definition
) -> None:
    import numpy as np

    problem = None
    if not values.size:
        problem = "is empty"
    elif values.dtype.kind == "f" and not np.isfinite(values).all():
        problem = "holds NaN or infinite numbers"
    elif values.dtype.kind == "f" and values.min() == values.max():
        problem = f"is constant, {values.flat[0]:g} everywhere"
    elif values.dtype.kind == "f" and len(values) > 1 and (values == values[:1]).all():
        problem = "holds the same example again and again"
    if problem is None:
        return
    raise TerminalError(
        f"{variant}: the calibration data of the input {name!r} {problem}",
        hint=f"no range can be learned from it; correct {source} in {definition.file.name}, which "
        "gives it",
        subject=name,
    )


def _remarks(chosen: Mapping[str, Any], training: Mapping[str, Any], source: str) -> Iterator[str]:
    count = len(next(iter(chosen.values())))
    if count < FEW:
        yield (
            f"{source} gave only {count} examples to calibrate with; fewer than {FEW} may miss "
            "the range of what is asked later"
        )
    for name, values in chosen.items():
        known = training[name]
        if values.dtype.kind != "f":
            continue
        ranges = f"{_range(values)}, training {_range(known)}"
        if (share := _outside(known, values)) > _OUTSIDE:
            yield (
                f"{share:.0%} of the training values of {name!r} lie outside of the range that was "
                f"calibrated and will be cut off: calibration {ranges}"
            )
        if (share := _outside(values, known)) > _OUTSIDE:
            yield (
                f"{share:.0%} of the calibration values of {name!r} lie outside of the training "
                f"range, which makes integers coarser than need be: calibration {ranges}"
            )


def _range(values: Any) -> str:
    return f"{values.min():g} to {values.max():g}"


def _outside(values: Any, limits: Any) -> float:
    return float(((values < limits.min()) | (values > limits.max())).mean())
