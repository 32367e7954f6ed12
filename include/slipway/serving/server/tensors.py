"""One JSON value to one array: fast where numpy may be trusted, strict elsewhere."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from slipway.serving.server.status import StatusError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What TensorFlow calls the types that JSON values can be converted to.
_TENSORFLOW_NAMES = {"float32": "float", "float64": "double", "float16": "half"}
_FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})
_INTEGERS = frozenset({"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"})
# The largest whole number that each type holds without loss.
_LARGEST_WHOLE = {"float16": 2**11, "bfloat16": 2**8, "float32": 2**24 - 1, "float64": 2**53 - 1}
_MAX_FLOAT32 = 3.4028234663852886e38


def is_base64(value: Any) -> bool:
    """Whether this is ``{"b64": "..."}``, JSON's way to write bytes."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def to_array(value: Any, dtype: str, doubtful: bool) -> NDArray[Any]:
    """Converts a scalar or nested lists.

    Args:
        value: As json.loads gives it.
        dtype: numpy's name, or ``string``; the result then has dtype object and holds bytes.
        doubtful: Whether there may be booleans in a value that should hold numbers.

    Raises:
        StatusError: INVALID_ARGUMENT, a value of another type, out of range or not representable,
            or lists of unequal length; UNIMPLEMENTED, no JSON value has this dtype.
    """
    if dtype in _FLOATS or dtype in _INTEGERS:
        array = None if doubtful else _by_numpy(value, dtype)
        return _by_walk(value, dtype) if array is None else array
    if dtype in {"bool", "string"}:
        return _by_walk(value, dtype)
    raise StatusError("UNIMPLEMENTED", f"Conversion of JSON Value to type: {dtype}")


def _by_numpy(value: Any, dtype: str) -> NDArray[Any] | None:
    """The array, or None where only a look at each value tells what is wrong, if anything is."""
    import numpy as np

    try:
        found = np.array(value)
    except (ValueError, OverflowError):
        return None
    if found.dtype.kind in "iu":
        low, high = _whole_range(dtype)
        inside = not found.size or (found.min() >= low and found.max() <= high)
        return found.astype(_numpy_type(dtype)) if inside else None
    if found.dtype.kind != "f" or dtype in _INTEGERS:
        return None
    with np.errstate(over="ignore"):
        converted = found.astype(_numpy_type(dtype))
    # An overflow turns a finite value into an infinity: let the walk name the value.
    return converted if np.isinf(converted).sum() == np.isinf(found).sum() else None


def _by_walk(value: Any, dtype: str) -> NDArray[Any]:
    import numpy as np

    shape: list[int] = []
    first = value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    leaves: list[Any] = []
    _collect(value, dtype, tuple(shape), 0, leaves)
    array: NDArray[Any] = np.empty(len(leaves), dtype=_numpy_type(dtype))
    array[:] = leaves
    return array.reshape(shape)


def _collect(value: Any, dtype: str, shape: tuple[int, ...], level: int, leaves: list[Any]) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise _invalid(
                f"JSON Value: {_written(value)} found at incorrect level: {level + 1} in the "
                f"JSON DOM. Expected at level: {len(shape)}"
            )
        leaves.append(_leaf(value, dtype))
        return
    if level >= len(shape):
        raise _invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise _invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for item in value:
        _collect(item, dtype, shape, level + 1, leaves)


def _leaf(value: Any, dtype: str) -> Any:
    if dtype == "string":
        return _bytes(value)
    if dtype == "bool":
        fits = isinstance(value, bool)
    elif dtype in _INTEGERS:
        fits = _is_integer(value) and _in_range(value, dtype)
    else:
        fits = _is_integer(value) or isinstance(value, float)
    if not fits:
        raise _type_error(value, dtype)
    if dtype in _FLOATS and not _lossless(value, dtype):
        raise _invalid(
            f"Cannot convert JSON value: {_written(value)} to {_tensorflow_name(dtype)} "
            "without loss of precision."
        )
    return value


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if not isinstance(value, dict):
        raise _type_error(value, "string")
    if not is_base64(value):
        raise _invalid(f"JSON Value: {_written(value)} not formatted correctly for base64 data")
    try:
        text = value["b64"].translate(str.maketrans("-_", "+/"))
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _invalid("Unable to base64 decode") from None


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole_range(dtype: str) -> tuple[int, int]:
    if dtype in _FLOATS:
        return -_LARGEST_WHOLE[dtype], _LARGEST_WHOLE[dtype]
    bits = int(dtype.removeprefix("u").removeprefix("int"))
    return (0, 2**bits - 1) if dtype.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _in_range(value: int, dtype: str) -> bool:
    low, high = _whole_range(dtype)
    return low <= value <= high


def _lossless(value: float, dtype: str) -> bool:
    if isinstance(value, int):
        return _in_range(value, dtype)
    if dtype == "float64" or value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 - NaN alone is unlike itself
        return True
    return abs(value) <= (65504.0 if dtype == "float16" else _MAX_FLOAT32)


def _numpy_type(dtype: str) -> Any:
    if dtype == "string":
        return object
    if dtype == "bfloat16":
        import ml_dtypes

        return ml_dtypes.bfloat16
    return dtype


def _type_error(value: Any, dtype: str) -> StatusError:
    return _invalid(
        f"JSON Value: {_written(value)} Type: {_json_type(value)} is not of expected type: "
        f"{_tensorflow_name(dtype)}"
    )


def _json_type(value: Any) -> str:
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    names: dict[type, str] = {dict: "Object", list: "Array", str: "String"}
    return names.get(type(value), "Number")


def _tensorflow_name(dtype: str) -> str:
    return _TENSORFLOW_NAMES.get(dtype, dtype)


def _written(value: Any) -> str:
    return json.dumps(value)


def _invalid(message: str) -> StatusError:
    return StatusError("INVALID_ARGUMENT", message)
