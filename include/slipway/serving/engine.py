"""What a TensorRT engine is bound to, as its manifest says, and which servers can run it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

HardwareCompatibility = Literal["none", "same_compute_capability", "ampere_plus"]
_AMPERE = (8, 0)
# An engine is deserialised by the release that built it, the build number aside.
_RELEASE_PARTS = 3


class Fallback(BaseModel):
    """The version that serves where the engine cannot.

    Attributes:
        variant: Which variant it is.
        version: Its number; it was published before the engine.
        digest: Of its content.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant: str
    version: int = Field(ge=1)
    digest: str


class Engine(BaseModel):
    """How an engine was made, and for what.

    Attributes:
        backend: "onnx": a plan, for Triton; "tf_trt": engines inside a SavedModel.
        tensorrt: Version of TensorRT that built it.
        compute_capability: Of the GPU that it was built on, such as "9.0".
        gpu: That GPU, as NVIDIA calls it.
        hardware_compatibility: On which other GPUs it runs.
        options: The technique's options, complete.
        fallback: The version that takes its place on other hardware; None: there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: Literal["onnx", "tf_trt"]
    tensorrt: str
    compute_capability: str = Field(pattern=r"^[0-9]+\.[0-9]+$")
    gpu: str
    hardware_compatibility: HardwareCompatibility = "none"
    options: dict[str, Any] = Field(default_factory=dict)
    fallback: Fallback | None = None

    def why_not_on(self, compute_capability: str, tensorrt: str | None = None) -> str | None:
        """Why a server cannot run it; None if it can.

        Args:
            compute_capability: Of the server's GPU.
            tensorrt: The server's version; None: not asked.
        """
        theirs, ours = _numbers(compute_capability), _numbers(self.compute_capability)
        if self.hardware_compatibility == "ampere_plus":
            if theirs < _AMPERE:
                return f"it runs on compute capability 8.0 and later, not on {compute_capability}"
        elif theirs != ours:
            return f"it was built for compute capability {self.compute_capability} ({self.gpu})"
        if tensorrt is not None and not self._is_of(tensorrt):
            return f"it was built by TensorRT {self.tensorrt}"
        return None

    def _is_of(self, tensorrt: str) -> bool:
        """Whether it was built by a release, which may be written with fewer numbers."""
        wanted = _numbers(tensorrt)[:_RELEASE_PARTS]
        return _numbers(self.tensorrt)[: len(wanted)] == wanted


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
