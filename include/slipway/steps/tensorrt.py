"""Build TensorRT engines: from an ONNX graph, or inside a SavedModel by TF-TRT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from slipway.errors import TerminalError
from slipway.modelling import saved_model, tf_trt
from slipway.modelling.data import load_split
from slipway.modelling.gpu import TENSORRT_PACKAGES, find_gpu, tensorflow_version, tensorrt_version
from slipway.modelling.shapes import BatchRange, Profile
from slipway.modelling.tensorrt_engine import BuildOptions, build_engine
from slipway.modelling.tensorrt_releases import release_of
from slipway.serving.engine import Engine, HardwareCompatibility
from slipway.spec.base import StepConfig
from slipway.steps.base import StepOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np

    from slipway.modelling.gpu import Gpu
    from slipway.modelling.saved_model import Signature
    from slipway.registry import Artifact
    from slipway.steps.base import StepContext

Precision = Literal["float32", "float16", "int8"]
DynamicShapeMode = Literal["Range", "Optimal", "Range+Optimal", "ImplicitBatchModeCompatible"]

_TF_TRT_ONLY = ("minimum_segment_size", "dynamic_shape_mode", "build_at_runtime", "signature")
_ONNX_ONLY = ("timing_cache", "builder_optimization_level", "hardware_compatibility")


class TensorRTConfig(StepConfig):
    """TensorRT engines for one kind of GPU."""

    backend: Literal["onnx", "tf_trt"] = Field(
        "onnx",
        description="onnx: a plan from an ONNX variant, with TensorRT 10 or 11, for Triton; "
        "tf_trt: engines inside a SavedModel, with TensorFlow 2.17 or older, for the -gpu images "
        "of TensorFlow Serving up to 2.17.",
    )
    precision: Precision | None = Field(
        None,
        description="tf_trt: FP32, FP16 or INT8, default float32. onnx: default as the graph is "
        "typed, so float16 and int8 come from the onnx variant; float16 is a builder flag that "
        "TensorRT 10 still has.",
    )
    workspace_bytes: PositiveInt = Field(
        1 << 30, description="Most GPU memory that a layer may use while it runs, in bytes."
    )
    batch: BatchRange = Field(
        default_factory=lambda: BatchRange(min=1, opt=8, max=64),
        description="Examples of one request, for inputs that no profile names.",
    )
    profiles: tuple[Profile, ...] = Field(
        (), description="Shapes to build for: min, opt and max by input, the batch included."
    )
    builder_optimization_level: int = Field(
        3, ge=0, le=5, description="onnx: how long the builder searches, 0 to 5."
    )
    timing_cache: bool = Field(
        True, description="onnx: whether timings are kept in the workspace for the next build."
    )
    hardware_compatibility: HardwareCompatibility = Field(
        "none", description="onnx: which other GPUs shall run it; costs speed."
    )
    minimum_segment_size: PositiveInt = Field(
        3, description="tf_trt: fewest operations that are worth an engine."
    )
    dynamic_shape_mode: DynamicShapeMode | None = Field(
        "Range", description="tf_trt: its profile strategy; null: an engine for each shape."
    )
    build_at_runtime: bool = Field(
        False, description="tf_trt: whether the server builds an engine for a shape without one."
    )
    calibration_examples: PositiveInt = Field(
        200, description="tf_trt, int8: examples of the training split that calibrate it."
    )
    signature: str | None = Field(
        None,
        description="tf_trt: signature to convert; default: serving_default, or the only one.",
    )

    @model_validator(mode="after")
    def _options_of_its_backend(self) -> TensorRTConfig:
        foreign = _TF_TRT_ONLY if self.backend == "onnx" else _ONNX_ONLY
        for name in foreign:
            if name != "signature" and getattr(self, name) != _default(name):
                msg = f"{name} is no option of backend {self.backend}"
                raise ValueError(msg)
        if self.backend == "onnx" and self.precision == "int8":
            msg = "precision int8: make it `from` an onnx variant with precision int8 instead"
            raise ValueError(msg)
        return self

    @property
    def consumes(self) -> tuple[Artifact, ...]:
        """What it works on, by the backend."""
        return ("onnx",) if self.backend == "onnx" else ("saved_model",)

    @property
    def produces(self) -> Artifact:
        """What it makes, by the backend."""
        return "tensorrt" if self.backend == "onnx" else "saved_model"


def run(context: StepContext) -> StepOutput:
    """Build for the GPU of this process.

    Details: engine, as `slipway.serving.engine.Engine`, and what was built.

    Raises:
        TerminalError: There is no GPU, or what the backend needs is not installed, which is found
            out before anything is imported; or the model cannot be converted.
    """
    config = context.config(TensorRTConfig)
    gpu = _require(context.variant, config)
    context.say(f"{gpu.name}, compute capability {gpu.compute_capability}")
    build = _plan if config.backend == "onnx" else _tf_trt
    return build(context, config, gpu)


def _require(variant: str, config: TensorRTConfig) -> Gpu:
    """The GPU, once everything that the backend needs is there too."""
    gpu, why = find_gpu()
    missing = [] if gpu else [f"a GPU ({why})"]
    if config.backend == "onnx":
        installed = tensorrt_version()
        if installed is None:
            missing.append("the package tensorrt (it is not installed)")
        elif gpu:
            release_of(installed)
        hint = f"install {TENSORRT_PACKAGES[0]} there"
    else:
        found = tensorflow_version()
        if found is None or not tf_trt.can_convert(found):
            have = f"{found} is installed" if found else "none is installed"
            missing.append(f"TensorFlow 2.17 or older ({have})")
        hint = "use an image or execution.python with tensorflow==2.17.1 there"
    if gpu is None or missing:
        raise TerminalError(
            f"{variant}: building an engine by {config.backend} needs {' and '.join(missing)}",
            hint=f"let execution.run send {variant} to a runtime on a node with a GPU; {hint}",
            subject="tensorrt",
            details={"missing": missing},
        )
    return gpu


def _plan(context: StepContext, config: TensorRTConfig, gpu: Gpu) -> StepOutput:
    version = tensorrt_version() or ""
    cache = context.workspace.root / "timing-caches"
    options = BuildOptions(
        batch=config.batch,
        precision=None if config.precision == "float32" else config.precision,
        workspace_bytes=config.workspace_bytes,
        optimization_level=config.builder_optimization_level,
        profiles=config.profiles,
        hardware_compatibility=config.hardware_compatibility,
        timing_cache=cache / f"{version}-{gpu.compute_capability}.cache"
        if config.timing_cache
        else None,
    )
    model = context.input("source").servable / "model.onnx"
    built = build_engine(context.variant, model, options, context.say)
    file = context.folder / "tensorrt" / "model.plan"
    file.parent.mkdir()
    file.write_bytes(built.plan)
    details = {
        **_facts(config, gpu, built.version),
        "profiles": built.profiles,
        "max_batch_size": built.largest_batch,
        "warnings": built.warnings,
    }
    return StepOutput("tensorrt", {"layers": float(built.layers)}, details)


def _tf_trt(context: StepContext, config: TensorRTConfig, gpu: Gpu) -> StepOutput:
    folder = context.input("source").servable
    signature = saved_model.choose_signature(context.variant, folder, config.signature)
    precision = config.precision or "float32"
    options = tf_trt.ConvertOptions(
        batch=config.batch,
        precision=precision,
        workspace_bytes=config.workspace_bytes,
        minimum_segment_size=config.minimum_segment_size,
        dynamic_shape_mode=config.dynamic_shape_mode,
        profiles=config.profiles,
        build_at_runtime=config.build_at_runtime,
    )
    calibration = _calibration(context, config, signature) if precision == "int8" else None
    target = context.folder / "saved_model"
    made = tf_trt.convert(context.variant, folder, signature, target, options, calibration)
    share = made.converted_operations / made.operations
    context.say(f"{share:.0%} of {made.operations} operations run in {made.engines} engines")
    details = {
        **_facts(config, gpu, made.tensorrt),
        "signature": signature.name,
        "profiles": made.profiles,
        "max_batch_size": made.largest_batch,
    }
    metrics = {"converted_share": share, "engines": float(made.engines)}
    return StepOutput("saved_model", metrics, details)


def _facts(config: TensorRTConfig, gpu: Gpu, version: str) -> dict[str, Any]:
    engine = Engine(
        backend=config.backend,
        tensorrt=version,
        compute_capability=gpu.compute_capability,
        gpu=gpu.name,
        hardware_compatibility=config.hardware_compatibility,
        options=config.model_dump(mode="json"),
    )
    return {
        "engine": engine.model_dump(mode="json"),
        "tensorrt": version,
        "compute_capability": gpu.compute_capability,
    }


def _calibration(
    context: StepContext, config: TensorRTConfig, signature: Signature
) -> Callable[[], Iterator[Mapping[str, np.ndarray]]]:
    """Batches of one size, which TF-TRT asks for, spread over the training split."""
    import numpy as np

    examples = load_split(context.definition(), "train", signature.inputs)
    size = min(config.batch.opt, len(examples))
    wanted = min(config.calibration_examples, len(examples))
    places = np.linspace(0, len(examples) - 1, max(size, wanted - wanted % size)).astype(int)
    context.say(f"calibrating with {len(places)} examples")

    def batches() -> Iterator[Mapping[str, np.ndarray]]:
        for start in range(0, len(places), size):
            chosen = places[start : start + size]
            yield {name: values[chosen] for name, values in examples.inputs.items()}

    return batches


def _default(name: str) -> Any:
    return TensorRTConfig.model_fields[name].get_default(call_default_factory=True)
