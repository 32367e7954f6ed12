"""Conditions of the doctor's entries that take more than a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.errors import TerminalError
from slipway.modelling.gpu import TENSORFLOW_PACKAGES, TENSORRT_PACKAGES
from slipway.modelling.tensorrt_releases import release_of
from slipway.serving.engine import Engine
from slipway.serving.serve_config.table import tf_trt_range

if TYPE_CHECKING:
    from slipway.doctor.facts import Case


def keras_3(case: Case) -> bool:
    """Whether the definition imports Keras 3."""
    return "keras" in case.facts.imports


def keras_and_tensorflow(case: Case) -> tuple[tuple[int, int] | None, ...]:
    """Release of tf-keras and of TensorFlow; None for what is not installed."""
    return case.facts.release("tf-keras"), case.facts.release(*TENSORFLOW_PACKAGES)


def tensorrt(case: Case) -> tuple[int, int] | None:
    """Release of TensorRT; None if it is not installed."""
    return case.facts.release(*TENSORRT_PACKAGES)


def loads_tf_trt(case: Case) -> bool:
    """Whether an image of the server's release loads engines of TF-TRT."""
    return case.of_tensorflow and tf_trt_range(case.server).image_suffix is not None


def has_no_precision_flags(case: Case) -> bool:
    """Whether the installed TensorRT takes its precisions from the graph alone."""
    if tensorrt(case) is None:
        return False
    try:
        return not release_of(case.words()["tensorrt"]).precision_flags
    except TerminalError:
        return False


def other_hardware(case: Case) -> bool:
    """Whether an engine that is built here would not run on the servers."""
    gpu, wanted = case.facts.gpu, case.spec.serve.compute_capability
    if gpu is None or wanted is None:
        return False
    built = Engine(
        backend=case.config.backend,
        tensorrt=case.words()["tensorrt"],
        compute_capability=gpu.compute_capability,
        gpu=gpu.name,
        hardware_compatibility=case.config.hardware_compatibility,
    )
    return built.why_not_on(wanted, None) is not None
