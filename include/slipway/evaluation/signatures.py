"""Load a signature of a SavedModel, TFLite or ONNX model, and the arithmetic of its integers."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Protocol

from slipway.errors import TerminalError
from slipway.evaluation.facts import TensorFacts
from slipway.serving.server.interpreter import MissingOperationsError, open_interpreter
from slipway.serving.server.tflite import MODEL_FILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np

    from slipway.contracts import ArtifactRef
    from slipway.modelling.onnx_session import OnnxSession
    from slipway.modelling.tensorrt_session import TensorRTSession

    Arrays = Mapping[str, np.ndarray]


class Signature(Protocol):
    """A loaded signature in its own types: quantized integers stay integers."""

    inputs: dict[str, TensorFacts]
    outputs: dict[str, TensorFacts]

    def call(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Run it once."""


def load_signature(artifact: ArtifactRef, name: str, variant: str) -> Signature:
    """Load a variant's signature.

    Raises:
        TerminalError: there is none of this name.
        Exception: whatever the runtime says of a damaged file or a missing operator.
    """
    loaders = {"tflite": _load_tflite, "onnx": _load_onnx, "tensorrt": _load_tensorrt}
    load = loaders.get(artifact.kind, _load_saved_model)
    return load(artifact, name, variant)


def quantize(values: np.ndarray, facts: TensorFacts) -> np.ndarray:
    """Real numbers as the integers of a tensor: round(real / scale) + zero_point, clipped."""
    import numpy as np

    limits = np.iinfo(facts.dtype)
    integers = np.rint(values / np.float32(facts.scale)) + facts.zero_point
    clipped: np.ndarray = np.clip(integers, limits.min, limits.max).astype(facts.dtype)
    return clipped


def dequantize(values: np.ndarray, facts: TensorFacts) -> np.ndarray:
    """The real numbers that a tensor's integers stand for; other tensors stay as they are."""
    import numpy as np

    if not facts.scale:
        return values
    shifted: np.ndarray = values.astype(np.float32) - np.float32(facts.zero_point)
    return shifted * np.float32(facts.scale)


class _SavedModel:
    def __init__(self, loaded: Any, function: Any) -> None:
        self._loaded = loaded  # holds the variables
        self._function = function
        self.inputs = {
            name: _saved_model_facts(spec)
            for name, spec in function.structured_input_signature[1].items()
        }
        self.outputs = {
            name: _saved_model_facts(spec) for name, spec in function.structured_outputs.items()
        }

    def call(self, inputs: Arrays) -> dict[str, np.ndarray]:
        import tensorflow as tf

        tensors = {
            name: tf.constant(values, dtype=self.inputs[name].dtype)
            for name, values in inputs.items()
        }
        return {name: value.numpy() for name, value in self._function(**tensors).items()}


class _TFLite:
    def __init__(self, interpreter: Any, runner: Any) -> None:
        self._interpreter = interpreter  # holds the tensors
        self._runner = runner
        self.inputs = _tflite_facts(runner.get_input_details())
        self.outputs = _tflite_facts(runner.get_output_details())

    def call(self, inputs: Arrays) -> dict[str, np.ndarray]:
        outputs: dict[str, np.ndarray] = self._runner(**inputs)
        return outputs


class OnnxSignature:
    """An ONNX model, or the engine made from one; see `Signature`.

    Args:
        session: The model in memory.
    """

    def __init__(self, session: OnnxSession | TensorRTSession) -> None:
        self.call = session.run
        self.inputs = _onnx_facts(session.inputs)
        self.outputs = _onnx_facts(session.outputs)


def _load_saved_model(artifact: ArtifactRef, signature: str, variant: str) -> Signature:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(artifact.servable))
    _require_signature(signature, loaded.signatures, variant)
    return _SavedModel(loaded, loaded.signatures[signature])


def _load_tflite(artifact: ArtifactRef, signature: str, variant: str) -> Signature:
    try:
        interpreter = open_interpreter(artifact.servable / MODEL_FILE, threads=1)
    except MissingOperationsError as error:
        raise TerminalError(
            f"{variant}: the TFLite file cannot be run here: {error}",
            hint=f"name a runtime whose image has TensorFlow 2.19 in execution.run, for {variant}",
            subject=variant,
        ) from error
    _require_signature(signature, interpreter.get_signature_list(), variant)
    return _TFLite(interpreter, interpreter.get_signature_runner(signature))


def _load_onnx(artifact: ArtifactRef, signature: str, variant: str) -> Signature:
    from slipway.modelling.onnx_graph import MODEL_FILE
    from slipway.modelling.onnx_session import OnnxSession

    session = OnnxSession(artifact.servable / MODEL_FILE)
    _require_signature(signature, [session.signature] if session.signature else [], variant)
    return OnnxSignature(session)


def _load_tensorrt(artifact: ArtifactRef, signature: str, variant: str) -> Signature:
    from slipway.modelling.tensorrt_session import PLAN_FILE, TensorRTSession

    del signature, variant  # an engine has one signature, without a name
    return OnnxSignature(TensorRTSession(artifact.servable / PLAN_FILE))


def _onnx_facts(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> dict[str, TensorFacts]:
    return {name: TensorFacts(dtype=dtype, shape=shape) for name, (dtype, shape) in tensors.items()}


def _require_signature(signature: str, known: Iterable[str], variant: str) -> None:
    names = list(known)
    if signature not in names:
        near = get_close_matches(signature, names, n=1)
        guess = f"did you mean {near[0]}? " if near else ""
        raise TerminalError(
            f"{variant}: there is no signature {signature!r}",
            hint=f"{guess}it has {', '.join(names) or 'none'}; correct `signature` in the spec",
            subject="signature",
        )


def _saved_model_facts(spec: Any) -> TensorFacts:
    sizes = () if spec.shape.rank is None else tuple(size or -1 for size in spec.shape.as_list())
    return TensorFacts(dtype=spec.dtype.name, shape=sizes)


def _tflite_facts(details: Mapping[str, Any]) -> dict[str, TensorFacts]:
    import numpy as np

    found = {}
    for name, detail in details.items():
        scale, zero_point = detail["quantization"]
        text = detail["dtype"] in {np.bytes_, np.object_}
        sizes = detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"]
        found[name] = TensorFacts(
            dtype="string" if text else np.dtype(detail["dtype"]).name,
            shape=tuple(int(size) for size in sizes),
            scale=float(scale),
            zero_point=int(zero_point),
        )
    return found
