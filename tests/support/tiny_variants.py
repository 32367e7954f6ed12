"""A three-class linear model of 13 numbers, as SavedModel, TFLite and ONNX, made in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np  # noqa: TID253  # tests import this module inside functions
import tensorflow as tf  # noqa: TID253  # as above

from slipway.contracts import StepRequest
from slipway.steps.base import StepContext

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.contracts import ArtifactRef
    from slipway.workspace import Workspace

SIGNATURE = "serving_default"
DEFINITION = """
import numpy as np
from slipway.definition import Examples

def load_data(split):
    rng = np.random.default_rng({"train": 1, "validation": 2, "test": 3}[split])
    labels = rng.integers(0, 3, 120)
    features = rng.normal(size=(120, 4)).astype("float32") + 1.5 * np.eye(3, 4)[labels]
    return Examples({"features": features.astype("float32")}, labels)

def worst_class(labels, outputs):
    return min((outputs.argmax(1)[labels == c] == c).mean() if (labels == c).any() else 1.0
               for c in range(3))

METRICS = {"worst_class": worst_class}

def slices(examples):
    return {"first": examples.labels == 0, "none": examples.labels == 9}
"""


class Linear(tf.Module):
    """Softmax of a linear map; `noise` spoils the weights, `scale` spoils the answers."""

    def __init__(self, noise: float = 0.0, scale: float = 1.0) -> None:
        super().__init__()
        weights = 2 * np.eye(4, 3) + noise * np.random.default_rng(0).normal(size=(4, 3))
        self.weights = tf.Variable(weights.astype("float32"))
        self.scale = tf.Variable(scale)

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, "features")])
    def serve(self, features: Any) -> dict[str, Any]:
        return {"probabilities": self.scale * tf.nn.softmax(features @ self.weights)}


def saved_model(workspace: Workspace, module: tf.Module | None = None) -> ArtifactRef:
    """A module with a function `serve` as an artifact."""
    module = module or Linear()
    with workspace.staging() as folder:
        signatures = {SIGNATURE: module.serve}
        tf.saved_model.save(module, str(folder / "saved_model"), signatures=signatures)
        return workspace.keep(folder, "saved_model")


def tflite(workspace: Workspace, source: ArtifactRef, *, integers: bool = False) -> ArtifactRef:
    """A SavedModel's TFLite form: float32, or int8 with integer inputs and outputs."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(source.servable))
    if integers:
        rng = np.random.default_rng(1)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            {"features": rng.normal(size=(1, 4)).astype("float32") * 2} for _ in range(100)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    with workspace.staging() as folder:
        (folder / "tflite").mkdir()
        (folder / "tflite" / "model.tflite").write_bytes(converter.convert())
        return workspace.keep(folder, "tflite")


def onnx(workspace: Workspace, source: ArtifactRef) -> ArtifactRef:
    """A SavedModel's ONNX form."""
    from slipway.modelling import onnx_export, saved_model

    signature = saved_model.choose_signature("tiny", source.servable, SIGNATURE)
    model = onnx_export.export("tiny", source.servable, signature, opset=17)
    with workspace.staging() as folder:
        (folder / "onnx").mkdir()
        (folder / "onnx" / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
        return workspace.keep(folder, "onnx")


def definition(folder: Path, text: str = DEFINITION) -> Path:
    """The model definition that belongs to it."""
    file = folder / "tiny.py"
    file.write_text(text)
    return file


def context(workspace: Workspace, folder: Path, **request: Any) -> StepContext:
    """What a step is given."""
    folder.mkdir(parents=True, exist_ok=True)
    asked = StepRequest(model="tiny", workspace=str(workspace.root), seed=7, **request)
    return StepContext(asked, folder, workspace)
