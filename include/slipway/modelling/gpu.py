"""Which GPU there is, and which TensorRT: asked of NVIDIA's driver and of what is installed.

It imports neither TensorFlow nor TensorRT, so that the answer comes at once.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

# One of them brings the module `tensorrt`, by the CUDA that it is for.
TENSORRT_PACKAGES = ("tensorrt-cu13", "tensorrt-cu12", "tensorrt")
TENSORFLOW_PACKAGES = ("tensorflow", "tensorflow-cpu")


@dataclass(frozen=True, slots=True)
class Gpu:
    """The first GPU that this process sees.

    Attributes:
        name: As NVIDIA calls it.
        compute_capability: Such as "9.0"; an engine is bound to it.
        memory_bytes: All of its memory.
        driver: Version of the driver.
    """

    name: str
    compute_capability: str
    memory_bytes: int
    driver: str


def find_gpu() -> tuple[Gpu | None, str]:
    """The first GPU, and why there is none; the latter is "" if there is one."""
    try:
        import pynvml
    except ImportError:
        return None, "the package nvidia-ml-py is not installed"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return None, f"the driver of NVIDIA does not answer: {error}"
    try:
        if not pynvml.nvmlDeviceGetCount():
            return None, "the driver of NVIDIA sees no GPU"
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
        found = Gpu(
            name=_text(pynvml.nvmlDeviceGetName(handle)),
            compute_capability=f"{major}.{minor}",
            memory_bytes=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
            driver=_text(pynvml.nvmlSystemGetDriverVersion()),
        )
    except pynvml.NVMLError as error:
        return None, f"the GPU does not answer: {error}"
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()
    return found, ""


def tensorrt_version() -> str | None:
    """Version of the installed package of TensorRT; None if there is none."""
    return first_installed(TENSORRT_PACKAGES)


def tensorflow_version() -> str | None:
    """Version of the installed TensorFlow; None if there is none."""
    return first_installed(TENSORFLOW_PACKAGES)


def hardware_facts() -> dict[str, str | None]:
    """What an engine depends on beside its source: GPU, driver, TensorRT and TensorFlow."""
    gpu, _ = find_gpu()
    return {
        "gpu": gpu.name if gpu else None,
        "compute_capability": gpu.compute_capability if gpu else None,
        "driver": gpu.driver if gpu else None,
        "tensorrt": tensorrt_version(),
        "tensorflow": tensorflow_version(),
    }


def first_installed(packages: tuple[str, ...]) -> str | None:
    """Version of the first of these distributions that is installed; None if none is."""
    for name in packages:
        with suppress(PackageNotFoundError):
            return version(name)
    return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
