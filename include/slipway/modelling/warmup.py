"""Warm-up requests, which TensorFlow Serving replays before a version counts as loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.definition import Examples

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"

_BATCHES = (1, 8)


def write_warmup(folder: Path, model: str, signature: str, examples: Examples) -> None:
    """Write predict requests made of the first examples, one for a batch of 1 and one for 8.

    Args:
        folder: The SavedModel's folder.
        model: Name under which the model is served.
        signature: The signature that the requests ask.
        examples: Inputs of the signature's names, shapes and dtypes.
    """
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    file = folder / WARMUP_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for batch in _BATCHES:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = model
            request.model_spec.signature_name = signature
            for name, values in examples.take(batch).inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString(deterministic=True))
