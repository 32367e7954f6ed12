"""Data of a definition, held against the signature of a model."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from slipway.definition import Examples
from slipway.errors import TerminalError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.definition import Definition, Split


def load_split(definition: Definition, split: Split, inputs: Mapping[str, Any]) -> Examples:
    """A split whose inputs have the names, shapes and dtypes of a signature.

    Args:
        definition: Where the data comes from.
        split: Which part of it.
        inputs: tf.TensorSpec by input name, the batch first.

    Returns:
        The examples, each input of the signature's dtype; strings as NumPy objects.

    Raises:
        TerminalError: naming the input, what it is and what the signature wants.
    """
    place = f"load_data({split!r}) in {definition.file.name}"
    return fit(definition, definition.load_data(split), place, inputs)


def fit(
    definition: Definition, examples: Examples, place: str, inputs: Mapping[str, Any]
) -> Examples:
    """Examples whose inputs have the names, shapes and dtypes of a signature.

    Args:
        definition: What gave them.
        examples: What it gave.
        place: The function that did, for messages.
        inputs: As for `load_split`.

    Raises:
        TerminalError: as `load_split`, or if they are no Examples.
    """
    if not isinstance(examples, Examples):
        raise _unfit(f"{place} returned {type(examples).__name__}, not Examples", definition)
    missing = [name for name in inputs if name not in examples.inputs]
    extra = [name for name in examples.inputs if name not in inputs]
    if missing or extra:
        raise _unfit(_names_problem(place, missing, extra, inputs), definition)
    fitted = {
        name: _fitted(examples.inputs[name], spec, f"{place}: input {name!r}", definition)
        for name, spec in inputs.items()
    }
    return Examples(fitted, examples.labels)


def _names_problem(
    place: str, missing: list[str], extra: list[str], inputs: Mapping[str, Any]
) -> str:
    if missing:
        near = get_close_matches(missing[0], extra, n=1, cutoff=0.3)
        given = f"; it gives {near[0]!r}" if near else ""
        return f"{place} gives no input {missing[0]!r}, which the model wants{given}"
    return (
        f"{place} gives the input {extra[0]!r}, which the model does not have; "
        f"it has {', '.join(inputs)}"
    )


def _fitted(values: Any, spec: Any, place: str, definition: Definition) -> Any:
    import numpy as np

    array = np.asarray(values)
    wanted = spec.dtype.as_numpy_dtype
    text = array.dtype.kind in "OSU"
    if text != (wanted is object or wanted is np.object_):
        raise _unfit(
            f"{place} has dtype {array.dtype}, the model wants {spec.dtype.name}", definition
        )
    shape = (None, *array.shape[1:])
    if not spec.shape.is_compatible_with(shape):
        raise _unfit(
            f"{place} has the shape {_shown(shape)}, the model wants {_shown(spec.shape)}",
            definition,
        )
    return array.astype(wanted)


def _shown(shape: Any) -> str:
    sizes = ["?" if size is None else str(size) for size in shape]
    return f"[{', '.join(sizes)}]"


def _unfit(message: str, definition: Definition) -> TerminalError:
    return TerminalError(
        message,
        hint=f"make load_data in {definition.file.name} and the model agree",
        subject=str(definition.file),
    )
