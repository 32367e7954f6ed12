"""Predict answers: named arrays to JSON in row or column form, numbers as TensorFlow Serving's.

Source of the rules and messages: tensorflow_serving/util/json_tensor.cc.
"""

from __future__ import annotations

import base64
import json
import math
from typing import TYPE_CHECKING, Any

from slipway.serving.server.status import StatusError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slipway.serving.server.signatures import Arrays

_BYTES_SUFFIX = "_bytes"
# Digits that tell every value of the type from its neighbours: max_digits10 of C++.
_DIGITS = {"float16": 5, "bfloat16": 4, "float32": 9, "float64": 17}


def predict_answer(outputs: Arrays, *, row: bool) -> bytes:
    """The body of an answer: ``predictions`` for rows, ``outputs`` for columns.

    Strings are written as text, or as ``{"b64": ...}`` where the output's name ends in ``_bytes``.

    Raises:
        StatusError: INVALID_ARGUMENT, outputs without a common batch size cannot be rows.
    """
    if not outputs:
        raise StatusError("INVALID_ARGUMENT", "Cannot convert empty tensor map to JSON")
    if row:
        return _body("predictions", _rows(outputs))
    columns = {name: _nested(_tokens(name, array), array.shape) for name, array in outputs.items()}
    return _body("outputs", _only_or_object(columns))


def error_answer(message: str) -> bytes:
    """The body of an answer that is an error."""
    return f'{{\n    "error": {json.dumps(message, ensure_ascii=False)}\n}}'.encode(
        "utf-8", "replace"
    )


def _rows(outputs: Arrays) -> str:
    size = _batch_size(outputs)
    columns: dict[str, list[str]] = {}
    for name, array in outputs.items():
        tokens, inner = _tokens(name, array), array.shape[1:]
        width = math.prod(inner)
        columns[name] = [
            _nested(tokens[start * width : (start + 1) * width], inner) for start in range(size)
        ]
    rows = (
        _only_or_object({name: column[i] for name, column in columns.items()}) for i in range(size)
    )
    return f"[{', '.join(rows)}]"


def _batch_size(outputs: Arrays) -> int:
    size = -1
    for name, array in outputs.items():
        if not array.ndim:
            raise StatusError("INVALID_ARGUMENT", f"Tensor name: {name} has no shape information ")
        if size not in (-1, array.shape[0]):
            raise StatusError(
                "INVALID_ARGUMENT",
                f"Tensor name: {name} has inconsistent batch size: {array.shape[0]} "
                f"expecting: {size}",
            )
        size = array.shape[0]
    return size


def _only_or_object(values: dict[str, str]) -> str:
    if len(values) == 1:
        return next(iter(values.values()))
    members = (f"{json.dumps(name)}: {value}" for name, value in values.items())
    return f"{{{', '.join(members)}}}"


def _nested(tokens: list[str], shape: tuple[int, ...]) -> str:
    for size in reversed(shape):
        groups = len(tokens) // size if size else math.prod(shape[: shape.index(0)])
        tokens = [f"[{', '.join(tokens[i * size : (i + 1) * size])}]" for i in range(groups)]
    return tokens[0]


def _tokens(name: str, array: NDArray[Any]) -> list[str]:
    kind, dtype = array.dtype.kind, array.dtype.name
    if dtype in _DIGITS:
        return _decimals(array, _DIGITS[dtype])
    values = array.ravel().tolist()
    if kind in "iu":
        return [str(value) for value in values]
    if kind == "b":
        return ["true" if value else "false" for value in values]
    if kind in "OS":
        as_bytes = name.endswith(_BYTES_SUFFIX)
        return [_string(value, as_bytes=as_bytes) for value in values]
    raise StatusError("INVALID_ARGUMENT", f"Failed to write JSON value for tensor type: {dtype}")


def _decimals(array: NDArray[Any], digits: int) -> list[str]:
    import numpy as np

    flat = array.ravel()
    values = flat.astype(np.float64).tolist()
    short = ["%.6g" % value for value in values]  # noqa: UP031 - three times as fast as an f-string here
    exact = (np.array(list(map(float, short))).astype(flat.dtype) == flat).tolist()
    return [
        _decimal(text if same else f"{value:.{digits}g}")
        for text, value, same in zip(short, values, exact, strict=True)
    ]


def _decimal(text: str) -> str:
    if "." in text or "e" in text:
        return text
    if text[-1].isdigit():
        return f"{text}.0"
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[text]


def _string(value: Any, *, as_bytes: bool) -> str:
    data = value.encode() if isinstance(value, str) else value
    if as_bytes:
        return f'{{"b64": "{base64.b64encode(data).decode()}"}}'
    # Bytes that are no UTF-8 go out as they are, as TensorFlow Serving writes them.
    return json.dumps(data.decode("utf-8", "surrogateescape"), ensure_ascii=False)


def _body(key: str, value: str) -> bytes:
    return f'{{\n    "{key}": {value}\n}}'.encode("utf-8", "surrogateescape")
