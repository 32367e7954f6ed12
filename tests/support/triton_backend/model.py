"""A stand-in for Triton's onnxruntime backend: its Python backend, which runs onnxruntime.

Triton itself loads this file, in a process of its own.
"""

from __future__ import annotations

import os
import sys

sys.path[:0] = os.environ["SLIPWAY_TEST_PACKAGES"].split(os.pathsep)

from pathlib import Path  # noqa: E402  # the packages are found only now
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402, TID253  # a process that does nothing else
import onnxruntime  # noqa: E402, TID253
import triton_python_backend_utils as pb  # type: ignore[import-not-found]  # noqa: E402  # Triton's


class TritonPythonModel:
    """What Triton's Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load one version."""
        path = Path(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer requests."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        names = [each.name for each in self.session.get_inputs()]
        # By DLPack: the backend was built for NumPy 1, and misreads the arrays of NumPy 2.
        feeds = {name: np.from_dlpack(pb.get_input_tensor_by_name(request, name)) for name in names}
        # An exception fails the request; an error response of this backend counts as a success.
        values = self.session.run(None, feeds)
        outputs = [each.name for each in self.session.get_outputs()]
        tensors = [
            pb.Tensor.from_dlpack(n, np.array(v)) for n, v in zip(outputs, values, strict=True)
        ]
        return pb.InferenceResponse(tensors)
