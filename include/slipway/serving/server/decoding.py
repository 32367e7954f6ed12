"""Predict requests: JSON in row or column form to named arrays, judged as TensorFlow Serving does.

Source of the rules and messages: tensorflow_serving/util/json_tensor.cc.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.serving.server.signatures import DEFAULT_SIGNATURE
from slipway.serving.server.status import StatusError
from slipway.serving.server.tensors import is_base64, to_array

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from slipway.serving.server.signatures import TensorSpec


@dataclass(frozen=True)
class PredictBody:
    """A request that was read but not yet matched against a signature.

    Args:
        signature_name: The signature asked for.
        document: The JSON object.
        doubtful: Whether words occur in it that numpy would quietly turn into numbers.
    """

    signature_name: str
    document: dict[str, Any]
    doubtful: bool

    @property
    def row(self) -> bool:
        """Whether it came as ``instances``; the answer takes the same form."""
        return "instances" in self.document

    def arrays(self, inputs: Mapping[str, TensorSpec]) -> dict[str, NDArray[Any]]:
        """The named arrays that the inputs of a signature ask for.

        Raises:
            StatusError: INVALID_ARGUMENT, naming the value, the input or the shape at fault.
        """
        content = _content(self.document)
        build = _from_rows if self.row else _from_columns
        arrays = build(content, inputs, self.doubtful)
        for name, array in arrays.items():
            if not inputs[name].accepts(array.shape):
                raise _invalid(
                    f"Input {name} has shape {_written(array.shape)}, "
                    f"but the signature expects {_written(inputs[name].shape or ())}"
                )
        return arrays


def parse_predict(body: bytes) -> PredictBody:
    """Reads a request body; ``NaN``, ``Infinity`` and ``-Infinity`` are numbers.

    Raises:
        StatusError: INVALID_ARGUMENT, not a JSON object, or its signature name is no string.
    """
    document = _parse_json(body)
    signature = document.get("signature_name", "")
    if not isinstance(signature, str):
        raise _format(
            document, "not formatted correctly. 'signature_name' key must be a string value."
        )
    doubtful = b"true" in body or b"false" in body
    return PredictBody(signature or DEFAULT_SIGNATURE, document, doubtful)


def _content(document: dict[str, Any]) -> Any:
    if "instances" not in document and "inputs" not in document:
        raise _invalid("Missing 'inputs' or 'instances' key")
    if "instances" in document and "inputs" in document:
        raise _format(
            document,
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
        )
    if "inputs" in document:
        return document["inputs"]
    instances = document["instances"]
    if not isinstance(instances, list):
        raise _format(document, "Excepting 'instances' to be an list/array")
    if not instances:
        raise _format(document, "No values in 'instances' array")
    return instances


def _parse_json(body: bytes) -> dict[str, Any]:
    if not body:
        raise _invalid("JSON Parse error: The document is empty")
    try:
        document = json.loads(body)
    except json.JSONDecodeError as error:
        raise _invalid(f"JSON Parse error: {error.msg} at offset: {error.pos}") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise _invalid(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise _format(document, "Is not object")
    return document


def _from_rows(
    instances: list[Any], inputs: Mapping[str, TensorSpec], doubtful: bool
) -> dict[str, NDArray[Any]]:
    if not _is_object(instances[0]):
        if len(inputs) != 1:
            raise _invalid(
                "instances is a plain list, but expecting list of objects as multiple "
                "input tensors required as per tensorinfo_map"
            )
        _all_plain(instances)
        return {name: _batch(name, instances, spec, doubtful) for name, spec in inputs.items()}
    for position, row in enumerate(instances):
        _check_row(position, row, inputs)
    return {
        name: _batch(name, [row[name] for row in instances], spec, doubtful)
        for name, spec in inputs.items()
    }


def _batch(name: str, values: list[Any], spec: TensorSpec, doubtful: bool) -> NDArray[Any]:
    try:
        return to_array(values, spec.dtype, doubtful)
    except StatusError as whole:
        _blame_row(name, values, spec)
        raise whole from None


def _blame_row(name: str, values: list[Any], spec: TensorSpec) -> None:
    # Only a failed batch comes here: each row alone shows which of them is at fault.
    first: tuple[int, ...] | None = None
    for position, value in enumerate(values):
        try:
            array = to_array(value, spec.dtype, doubtful=True)
            first = array.shape if first is None else first
            if array.shape != first:
                raise _unlike(first, array.shape)
        except StatusError as error:
            raise _invalid(
                f"Failed to process element: {position} key: {name} of 'instances' list. "
                f"Error: {error}"
            ) from None


def _unlike(first: tuple[int, ...], shape: tuple[int, ...]) -> StatusError:
    import math

    if math.prod(first) != math.prod(shape):
        return _invalid(f"Expecting tensor size: {math.prod(first)} but got: {math.prod(shape)}")
    return _invalid(f"Expecting shape {_written(first)} but got: {_written(shape)}")


def _all_plain(instances: list[Any]) -> None:
    for position, value in enumerate(instances):
        if _is_object(value):
            raise _invalid(f"Expecting value/list but got object at item {position} of input list")


def _check_row(position: int, row: Any, inputs: Mapping[str, TensorSpec]) -> None:
    if not _is_object(row):
        raise _invalid(f"Expecting object but got list at item {position} of input list")
    for name in row.keys() - inputs.keys():
        raise _invalid(
            f"Failed to process element: {position} key: {name} of 'instances' list. Error: "
            f"INVALID_ARGUMENT: JSON object: does not have named input: {name}"
        )
    if row.keys() != inputs.keys():
        raise _invalid(
            f"Failed to process element: {position} of 'instances' list. JSON object: "
            f"{json.dumps(row)} keys must be equal to: {','.join(sorted(inputs))}"
        )


def _from_columns(
    content: Any, inputs: Mapping[str, TensorSpec], doubtful: bool
) -> dict[str, NDArray[Any]]:
    if not _is_object(content):
        if len(inputs) != 1:
            raise _invalid(
                "inputs is a plain value/list, but expecting an object as multiple input "
                "tensors required as per tensorinfo_map"
            )
        content = dict.fromkeys(inputs, content)
    arrays = {}
    for name, spec in inputs.items():
        if name not in content:
            raise _invalid(f"Missing named input: {name} in 'inputs' object.")
        arrays[name] = to_array(content[name], spec.dtype, doubtful)
    return arrays


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _written(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _format(value: Any, problem: str) -> StatusError:
    return _invalid(f"JSON Value: {json.dumps(value)} {problem}")


def _invalid(message: str) -> StatusError:
    return StatusError("INVALID_ARGUMENT", message)
