"""Every step that Slipway knows, as static data: reading it imports no step.

To add a technique, write its step file with its config and add one line here.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from slipway.spec.base import StepConfig

Artifact = Literal["keras", "saved_model", "tflite", "onnx", "tensorrt"]


@dataclass(frozen=True)
class StepEntry:
    """One step: where it lives and what it needs.

    Attributes:
        module: Dotted module with the step's function `run`.
        config: Name of the step's config class in that module; None if it takes no options.
        technique: Whether a variant may name it in a spec.
        consumes: Kind of the artifact that a technique works on, unless its config says it.
        produces: Kind of the artifact that it makes, unless its config says it; "keras" holds a
            SavedModel too.
        packages: Distributions that must be installed, and whose versions are part of the step's
            key.
        shared: Packages of `slipway` whose code is part of the step's key, beside its own file.
        cached: Whether the same key gives the same result, so that it need not run again.
        legacy_keras: Whether TensorFlow must be imported with Keras 2 (tf_keras) in its process.
        hardware: Whether GPU, driver and TensorRT are part of the step's key.
    """

    module: str
    config: str | None = None
    technique: bool = False
    consumes: Artifact | tuple[Artifact, ...] | None = None
    produces: Artifact | None = None
    packages: tuple[str, ...] = ()
    shared: tuple[str, ...] = ("modelling",)
    cached: bool = True
    legacy_keras: bool = True
    hardware: bool = False


_ROLLOUT_STEPS = ("preflight", "deploy", "probe", "shift", "promote", "rollback", "gc")
_EVALUATION = ("modelling", "evaluation", "serving/server")

_TF = ("tensorflow", "tf-keras")
_TFMOT = (*_TF, "tensorflow-model-optimization")
_LITERT = ("tensorflow", "ai-edge-litert")
_QUANTIZER = (*_LITERT, "ai-edge-quantizer")
_ONNX = ("tensorflow", "tf2onnx", "onnx", "onnxslim", "onnxruntime")
_RUNTIMES = (*_LITERT, "onnxruntime")

STEPS: dict[str, StepEntry] = {
    "adopt": StepEntry("slipway.steps.adopt", cached=False),
    "benchmark": StepEntry("slipway.steps.benchmark", packages=_RUNTIMES, shared=_EVALUATION),
    "cast": StepEntry(
        "slipway.steps.cast", "CastConfig", True, "saved_model", "saved_model", packages=_TF
    ),
    "check": StepEntry("slipway.steps.check", cached=False),
    "deploy": StepEntry("slipway.steps.deploy", cached=False),
    "distill": StepEntry(
        "slipway.steps.distill", "DistillConfig", True, "keras", "keras", packages=_TF
    ),
    "gc": StepEntry("slipway.steps.gc", cached=False),
    "import": StepEntry("slipway.steps.import_saved_model", produces="saved_model", packages=_TF),
    "onnx": StepEntry(
        "slipway.steps.onnx", "OnnxConfig", True, "saved_model", "onnx", packages=_ONNX
    ),
    "preflight": StepEntry("slipway.steps.preflight", cached=False),
    "probe": StepEntry("slipway.steps.probe", cached=False),
    "promote": StepEntry("slipway.steps.promote", cached=False),
    "prune": StepEntry(
        "slipway.steps.prune", "PruneConfig", True, "keras", "keras", packages=_TFMOT
    ),
    "publish": StepEntry("slipway.steps.publish", cached=False),
    "quantize": StepEntry(
        "slipway.steps.quantize", "QuantizeConfig", True, "keras", "keras", packages=_TFMOT
    ),
    "rollback": StepEntry("slipway.steps.rollback", cached=False),
    "select": StepEntry("slipway.steps.select", cached=False),
    "shift": StepEntry("slipway.steps.shift", cached=False),
    "tensorrt": StepEntry(
        "slipway.steps.tensorrt", "TensorRTConfig", True, "onnx", "tensorrt", hardware=True
    ),
    "tflite": StepEntry(
        "slipway.steps.tflite", "TFLiteConfig", True, "saved_model", "tflite", packages=_QUANTIZER
    ),
    "train": StepEntry("slipway.steps.train", "TrainConfig", produces="keras", packages=_TF),
    "validate": StepEntry("slipway.steps.validate", packages=_RUNTIMES, shared=_EVALUATION),
}

BUILD_STEPS: tuple[str, ...] = tuple(
    name for name in STEPS if name not in {*_ROLLOUT_STEPS, "adopt"}
)
TECHNIQUES: tuple[str, ...] = tuple(name for name, entry in STEPS.items() if entry.technique)


def config_class(step: str) -> type[StepConfig]:
    """The config class of a step.

    Step modules keep TensorFlow out of their module level, so this is cheap.

    Raises:
        KeyError: if there is no such step, or it takes no options.
    """
    entry = STEPS[step]
    if entry.config is None:
        raise KeyError(step)
    found: Any = getattr(import_module(entry.module), entry.config)
    return found  # type: ignore[no-any-return]  # the registry's contract test proves the type
