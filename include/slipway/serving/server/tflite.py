"""The TFLite backend: interpreters over one ``model.tflite``, one request each at a time."""

from __future__ import annotations

import os
import queue
import threading
from typing import TYPE_CHECKING, Any

from slipway.serving.server.interpreter import open_interpreter
from slipway.serving.server.signatures import DEFAULT_SIGNATURE, Signature, TensorSpec
from slipway.serving.server.status import StatusError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from slipway.serving.server.flags import ServerFlags
    from slipway.serving.server.signatures import Arrays

MODEL_FILE = "model.tflite"

_DATA_TYPES = {
    "bool": "DT_BOOL",
    "float16": "DT_HALF",
    "float32": "DT_FLOAT",
    "float64": "DT_DOUBLE",
    "string": "DT_STRING",
}


class TfliteServable:
    """A TFLite model in memory; batches of any size are run by resizing the inputs.

    Args:
        file: The model.
        flags: ``num_tflite_pools`` bounds the interpreters (default: one per CPU), and
            ``tensorflow_intra_op_parallelism`` is the threads of each (default: 1).

    Raises:
        ValueError: The file is no TFLite model.
        RuntimeError: It uses operators that the interpreter does not have.
    """

    runs_graph = False

    def __init__(self, file: Path, flags: ServerFlags) -> None:
        self._file = file
        self._threads = flags.tensorflow_intra_op_parallelism or 1
        self._most = flags.num_tflite_pools or os.cpu_count() or 1
        self._made = 0
        self._lock = threading.Lock()
        self._idle: queue.LifoQueue[dict[str, Any]] = queue.LifoQueue()
        runners = self._make()
        self.signatures: Mapping[str, Signature] = {
            name: Signature(_specs(runner.get_input_details()), _specs(runner.get_output_details()))
            for name, runner in runners.items()
        }
        self._idle.put(runners)

    def run(self, signature: str, inputs: Arrays) -> Arrays:
        """Answers one request; see `Servable.run`."""
        runners = self._take()
        try:
            outputs: dict[str, Any] = runners[signature](**inputs)
        except (RuntimeError, ValueError) as error:
            raise StatusError("INVALID_ARGUMENT", str(error)) from error
        finally:
            self._idle.put(runners)
        return {name: outputs[name] for name in sorted(outputs)}

    def metadata(self) -> dict[str, Any]:
        """Every signature as a SignatureDef."""
        return {
            name: {
                "inputs": _infos(signature.inputs),
                "outputs": _infos(signature.outputs),
                "method_name": "tensorflow/serving/predict",
                "defaults": {},
            }
            for name, signature in self.signatures.items()
        }

    def close(self) -> None:
        """Drops every interpreter."""
        while not self._idle.empty():
            self._idle.get_nowait()

    def _take(self) -> dict[str, Any]:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return self._make() if self._may_make() else self._idle.get()

    def _may_make(self) -> bool:
        with self._lock:
            return self._made < self._most

    def _make(self) -> dict[str, Any]:
        with self._lock:
            self._made += 1
        interpreter = open_interpreter(self._file, self._threads)
        names = list(interpreter.get_signature_list())
        if not names:
            return {DEFAULT_SIGNATURE: _Unsigned(interpreter)}
        return {name: interpreter.get_signature_runner(name) for name in names}


class _Unsigned:
    """A model that was converted without signatures: its tensors' own names serve as such."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter

    def get_input_details(self) -> dict[str, Any]:
        return {detail["name"]: detail for detail in self._interpreter.get_input_details()}

    def get_output_details(self) -> dict[str, Any]:
        return {detail["name"]: detail for detail in self._interpreter.get_output_details()}

    def __call__(self, **inputs: Any) -> dict[str, Any]:
        indexes = {name: detail["index"] for name, detail in self.get_input_details().items()}
        for name, value in inputs.items():
            self._interpreter.resize_tensor_input(indexes[name], value.shape)
        self._interpreter.allocate_tensors()
        for name, value in inputs.items():
            self._interpreter.set_tensor(indexes[name], value)
        self._interpreter.invoke()
        return {
            name: self._interpreter.get_tensor(detail["index"])
            for name, detail in self.get_output_details().items()
        }


def _specs(details: Mapping[str, Any]) -> dict[str, TensorSpec]:
    return {name: _spec(details[name]) for name in sorted(details)}


def _spec(detail: Any) -> TensorSpec:
    import numpy as np

    dtype = "string" if detail["dtype"] is np.bytes_ else np.dtype(detail["dtype"]).name
    shape = [int(size) for size in detail.get("shape_signature", detail["shape"])]
    # Converted with a fixed batch of one, it still runs any batch: the interpreter resizes.
    return TensorSpec(dtype, (-1, *shape[1:]) if shape else ())


def _infos(specs: Mapping[str, TensorSpec]) -> dict[str, Any]:
    return {
        name: {
            "dtype": _DATA_TYPES.get(spec.dtype, f"DT_{spec.dtype.upper()}"),
            "tensor_shape": {
                "dim": [{"size": str(size), "name": ""} for size in spec.shape or ()],
                "unknown_rank": spec.shape is None,
            },
            "name": name,
        }
        for name, spec in specs.items()
    }
