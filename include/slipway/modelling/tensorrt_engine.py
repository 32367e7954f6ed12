"""Build a TensorRT engine from an ONNX graph: the calls of TensorRT 10 and 11."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.modelling.shapes import complete_profiles, described, largest_batch
from slipway.modelling.tensorrt_releases import release_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from slipway.modelling.shapes import BatchRange, Profile

COMPATIBILITY = {
    "none": "NONE",
    "same_compute_capability": "SAME_COMPUTE_CAPABILITY",
    "ampere_plus": "AMPERE_PLUS",
}


@dataclass(frozen=True)
class BuildOptions:
    """How an engine is built.

    Attributes:
        batch: Range of the batch, for inputs that no profile names.
        precision: None: as the graph is typed; otherwise what the builder may lower it to.
        workspace_bytes: Most memory that a layer may use while it runs.
        optimization_level: 0 to 5: how long the builder searches.
        profiles: Optimisation profiles, as the spec gives them.
        hardware_compatibility: On which other GPUs it shall run.
        timing_cache: File with timings of earlier builds; None: time everything anew.
    """

    batch: BatchRange
    precision: str | None = None
    workspace_bytes: int = 1 << 30
    optimization_level: int = 3
    profiles: Sequence[Profile] = ()
    hardware_compatibility: str = "none"
    timing_cache: Path | None = None


@dataclass(frozen=True)
class BuiltEngine:
    """What was built.

    Attributes:
        plan: The engine.
        version: Of TensorRT.
        profiles: The profiles that it has, as JSON.
        largest_batch: 0 if the batch is not dynamic.
        layers: How many layers the parsed network had.
        warnings: What the builder warned of, each once.
    """

    plan: bytes
    version: str
    profiles: list[dict[str, Any]]
    largest_batch: int
    layers: int
    warnings: list[str] = field(default_factory=list)


def build_engine(
    variant: str, model: Path, options: BuildOptions, say: Callable[[str], None]
) -> BuiltEngine:
    """Build an engine on the GPU of this process.

    Args:
        variant: For messages.
        model: The ONNX file.
        options: How.
        say: Told of progress, a line each.

    Raises:
        TerminalError: TensorRT does not know an operation (named with its node), the profiles do
            not fit the inputs, this release cannot do what is asked, or no engine came out.
    """
    trt = import_module("tensorrt")
    log = _logger(trt)
    builder = trt.Builder(log)
    network = builder.create_network(_creation_flags(trt, variant, options.precision))
    _parse(trt, variant, network, log, model)
    inputs = {
        tensor.name: tuple(tensor.shape)
        for tensor in (network.get_input(index) for index in range(network.num_inputs))
    }
    profiles = complete_profiles(variant, inputs, options.profiles, options.batch)
    config = _configured(trt, builder, options)
    for profile in profiles:
        config.add_optimization_profile(_optimization_profile(builder, profile))
    with _timing_cache(config, options.timing_cache):
        say(f"building with TensorRT {trt.__version__}: {network.num_layers} layers")
        plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise TerminalError(
            f"{variant}: TensorRT {trt.__version__} built no engine: "
            f"{log.errors[-1] if log.errors else 'it does not say why'}",
            hint="raise tensorrt.workspace_bytes, narrow the profiles, or lower "
            "tensorrt.builder_optimization_level; the step's log has all that TensorRT said",
            subject=variant,
        )
    return BuiltEngine(
        bytes(plan),
        trt.__version__,
        described(profiles),
        largest_batch(profiles, inputs),
        network.num_layers,
        log.warnings,
    )


def _logger(trt: Any) -> Any:
    """A logger of TensorRT's own kind that keeps what matters and prints it."""

    class Log(trt.ILogger):  # type: ignore[misc]  # TensorRT ships no types
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []
            self.warnings: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in {trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR}:
                self.errors.append(message)
            elif severity == trt.ILogger.WARNING and message not in self.warnings:
                self.warnings.append(message)
            else:
                return
            print(f"TensorRT: {message}", flush=True)  # noqa: T201  # stdout is the log

    return Log()


def _creation_flags(trt: Any, variant: str, precision: str | None) -> int:
    release = release_of(trt.__version__)
    names = release.creation_flags
    if precision is not None:
        if release.weak_creation_flags is None or precision not in release.precision_flags:
            raise TerminalError(
                f"{variant}: TensorRT {trt.__version__} takes the precision from the graph and has "
                f"no flag for {precision}",
                hint=f"make it `from` an onnx variant with precision {precision}, and leave "
                "tensorrt.precision out",
                subject="tensorrt.precision",
            )
        names = release.weak_creation_flags
    flags = 0
    for name in names:
        flags |= 1 << int(getattr(trt.NetworkDefinitionCreationFlag, name))
    return flags


def _parse(trt: Any, variant: str, network: Any, log: Any, model: Path) -> None:
    parser = trt.OnnxParser(network, log)
    if parser.parse_from_file(str(model)):
        return
    error = parser.get_error(0) if parser.num_errors else None
    if error is None:
        where, why = "the graph", "it does not say why"
    else:
        where = f"the operation {error.node_operator()} (node {error.node_name()})"
        why = error.desc()
    raise TerminalError(
        f"{variant}: TensorRT {trt.__version__} cannot take {where}: {why}",
        hint="convert to ONNX with another opset, replace the layer, use backend tf_trt, or serve "
        "the ONNX file itself",
        subject=error.node_name() if error else variant,
    )


def _configured(trt: Any, builder: Any, options: BuildOptions) -> Any:
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    config.builder_optimization_level = options.optimization_level
    config.hardware_compatibility_level = getattr(
        trt.HardwareCompatibilityLevel, COMPATIBILITY[options.hardware_compatibility]
    )
    if options.precision is not None:
        name = release_of(trt.__version__).precision_flags[options.precision]
        config.set_flag(getattr(trt.BuilderFlag, name))
    return config


def _optimization_profile(builder: Any, profile: Profile) -> Any:
    made = builder.create_optimization_profile()
    for name, range_ in profile.items():
        made.set_shape(name, range_.min, range_.opt, range_.max)
    return made


@contextmanager
def _timing_cache(config: Any, file: Path | None) -> Iterator[None]:
    """Let the builder use the timings in a file, and keep there what it adds.

    One build at a time uses a file: so none loses what another has added.
    """
    if file is None:
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = file.read_bytes() if file.is_file() else b""
        cache = config.create_timing_cache(known)
        config.set_timing_cache(cache, ignore_mismatch=False)
        yield
        partial = file.with_suffix(".partial")
        partial.write_bytes(bytes(config.get_timing_cache().serialize()))
        partial.replace(file)
