"""TensorRT engines on the GPU of this process, by NVIDIA's Polygraphy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PLAN_FILE = "model.plan"


class TensorRTSession:
    """An engine in memory.

    Args:
        plan: The file.

    Attributes:
        signature: None: an engine has one, without a name.
        inputs: Type, as TensorFlow names it, and shape (-1: any size) by name.
        outputs: The same of what it gives.

    Raises:
        TerminalError: Polygraphy or TensorRT is not installed here.
        Exception: whatever TensorRT says of an engine that fits neither it nor the GPU.
    """

    signature: str | None = None

    def __init__(self, plan: Path) -> None:
        try:
            trt = import_module("tensorrt")
            polygraphy = import_module("polygraphy.backend.trt")
        except ImportError as error:
            raise TerminalError(
                f"an engine cannot be run here: {error}",
                hint="let execution.run send all steps of the variant to a runtime with a GPU, "
                "tensorrt and polygraphy",
                subject="tensorrt",
            ) from None
        self._runner = polygraphy.TrtRunner(polygraphy.EngineFromBytes(plan.read_bytes()))
        self._runner.activate()
        engine = self._runner.engine
        self.inputs: dict[str, tuple[str, tuple[int, ...]]] = {}
        self.outputs: dict[str, tuple[str, tuple[int, ...]]] = {}
        limits = []
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            shape = tuple(engine.get_tensor_shape(name))
            is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            side = self.inputs if is_input else self.outputs
            side[name] = (_dtype_name(trt, engine.get_tensor_dtype(name)), shape)
            if is_input and shape and shape[0] == -1:
                limits.append(engine.get_tensor_profile_shape(name, 0)[2][0])
        self._largest_batch: int | None = min(limits) if limits else None

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one request; more examples than the engine takes at once are asked in turns.

        Raises:
            Exception: whatever TensorRT says of inputs that it cannot take.
        """
        import numpy as np

        given = {name: values for name, values in inputs.items() if name in self.inputs}
        count = len(next(iter(given.values())))
        size = self._largest_batch or count
        parts = [
            self._run_once({name: values[start : start + size] for name, values in given.items()})
            for start in range(0, count, size)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in self.outputs}

    def _run_once(self, inputs: dict[str, Any]) -> dict[str, Any]:
        import numpy as np

        contiguous = {name: np.ascontiguousarray(values) for name, values in inputs.items()}
        found = self._runner.infer(contiguous)
        # The runner uses its buffers again.
        return {name: np.array(found[name]) for name in self.outputs}


def _dtype_name(trt: Any, dtype: Any) -> str:
    import numpy as np

    return str(np.dtype(trt.nptype(dtype)).name)
