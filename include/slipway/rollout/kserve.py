"""KServe's inference protocol, version 2, which Triton speaks, from TensorFlow Serving's JSON.

Golden requests are asked in rows, `{"instances": [...]}`, and answered in rows; the protocol has a
flat list of numbers a tensor, with shape and type. The types and shapes are those of the version's
`config.pbtxt`. Source: https://github.com/kserve/open-inference-protocol, and Triton's
docs/protocol.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.serving.triton import parse_config, version_config

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from slipway.rollout.session import Rollout

# The protocol's names; what JSON cannot carry, Triton takes as binary data only.
_BINARY = {"FP16", "BF16"}


def ready_path(model: str, version: int) -> str:
    """Answers 200 when the version is loaded and can be asked, and only then."""
    return f"/v2/models/{model}/versions/{version}/ready"


def infer_path(model: str, version: int) -> str:
    """Where a version is asked."""
    return f"/v2/models/{model}/versions/{version}/infer"


@dataclass(frozen=True)
class Tensor:
    """An input or output as its config has it.

    Attributes:
        datatype: By the protocol's name, such as FP32 or BYTES.
        is_number: Whether an example of it is one number, which Triton takes as a vector of one.
    """

    datatype: str
    is_number: bool


@dataclass(frozen=True)
class Interface:
    """What a version takes and gives.

    Attributes:
        inputs: By name.
        outputs: By name.
        batch: Examples of every request; None if any number will do.
    """

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    batch: int | None = None

    def request(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body of an inference request, from one of TensorFlow Serving in rows.

        Raises:
            TerminalError: An input is of a type, or a value of a kind, that JSON cannot carry.
        """
        rows: list[Any] = list(body["instances"])
        rows += rows[-1:] * ((self.batch or len(rows)) - len(rows))
        single = len(self.inputs) == 1
        return {
            "inputs": [
                self._input(name, rows if single else [row[name] for row in rows])
                for name in self.inputs
            ],
            "outputs": [{"name": name} for name in self.outputs],
        }

    def reply(self, answer: Mapping[str, Any], count: int) -> dict[str, Any]:
        """An answer as TensorFlow Serving would give it: `{"predictions": [...]}`.

        Args:
            answer: The reply's JSON.
            count: How many examples were asked.

        Raises:
            ValueError: It is no answer of the protocol, or lacks an output.
        """
        try:
            given = {each["name"]: each for each in answer["outputs"]}
            columns = {name: self._output(name, given[name]) for name in self.outputs}
        except (KeyError, TypeError) as error:
            msg = f"the answer is not of the inference protocol: {type(error).__name__}: {error}"
            raise ValueError(msg) from None
        for name, values in columns.items():
            if len(values) < count:
                msg = f"the answer has {len(values)} of {name} for {count} examples"
                raise ValueError(msg)
        if len(columns) == 1:
            [only] = columns.values()
            return {"predictions": only[:count]}
        zipped = zip(*columns.values(), strict=True)
        rows = (dict(zip(columns, values, strict=True)) for values in zipped)
        return {"predictions": list(itertools.islice(rows, count))}

    def _input(self, name: str, values: Sequence[Any]) -> dict[str, Any]:
        tensor = self.inputs[name]
        shape = [*_shape(values), *([1] if tensor.is_number else [])]
        flat = list(_flat(values))
        unsaid = tensor.datatype in _BINARY or any(isinstance(value, dict) for value in flat)
        if unsaid:
            raise TerminalError(
                f"the input {name} is {tensor.datatype}, and JSON cannot carry its golden requests",
                hint="give the signature float32 inputs and texts of UTF-8, as the onnx technique "
                "does",
                subject=name,
            )
        return {"name": name, "shape": shape, "datatype": tensor.datatype, "data": flat}

    def _output(self, name: str, given: Mapping[str, Any]) -> list[Any]:
        shape, flat = list(given["shape"]), list(_flat(given["data"]))
        if math.prod(shape) != len(flat):
            msg = f"the answer's {name} has {len(flat)} values, and its shape is {shape}"
            raise ValueError(msg)
        if self.outputs[name].is_number and shape[1:] == [1]:
            shape = shape[:1]
        return _nested(flat, shape)


def interface_of(rollout: Rollout) -> Interface | None:
    """What the rolled out version takes, if it is asked by this protocol at all.

    Returns:
        None where TensorFlow Serving serves, which is asked as golden requests are kept.

    Raises:
        TerminalError: The version was not published for Triton.
    """
    if rollout.config.serve.server != "triton":
        return None
    return parse_interface(version_config(rollout.store, rollout.model, rollout.version))


def parse_interface(text: str) -> Interface:
    """From the text of a `config.pbtxt`.

    Raises:
        TerminalError: It is none.
    """
    config = parse_config(text, "config.pbtxt")
    first = {int(tensor.dims[0]) for tensor in config.input}
    fixed = not config.max_batch_size and min(first) > 0
    return Interface(
        inputs={str(each.name): _tensor(config, each) for each in config.input},
        outputs={str(each.name): _tensor(config, each) for each in config.output},
        batch=min(first) if fixed else None,
    )


def _tensor(config: Any, tensor: Any) -> Tensor:
    kind = type(config).DESCRIPTOR.file.enum_types_by_name["DataType"]
    name = kind.values_by_number[tensor.data_type].name.removeprefix("TYPE_")
    datatype = "BYTES" if name == "STRING" else str(name)
    return Tensor(datatype, is_number=tensor.HasField("reshape"))


def _shape(values: object) -> list[int]:
    """Of nested lists, which are as regular as the array that they were made from."""
    shape: list[int] = []
    while isinstance(values, list):
        shape.append(len(values))
        if not values:
            break
        values = values[0]
    return shape


def _flat(values: object) -> Iterator[Any]:
    if isinstance(values, list):
        for value in values:
            yield from _flat(value)
    else:
        yield values


def _nested(flat: list[Any], shape: Sequence[int]) -> list[Any]:
    if len(shape) <= 1:
        return flat
    size = math.prod(shape[1:])
    return [_nested(flat[at : at + size], shape[1:]) for at in range(0, len(flat), size or 1)]
