"""Warm-up: the requests that a version brings along are run before it serves."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from slipway.serving.server.signatures import DEFAULT_SIGNATURE, find_signature
from slipway.serving.server.status import StatusError, as_status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from slipway.serving.server.metrics import Metrics
    from slipway.serving.server.signatures import Servable

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
MAX_RECORDS = 1000

_log = logging.getLogger(__name__)


def warm_up(servable: Servable, folder: Path, iterations: int, metrics: Metrics) -> int:
    """Runs the requests of ``assets.extra/tf_serving_warmup_requests``.

    Args:
        servable: The version, loaded.
        folder: Where it was loaded from.
        iterations: How often each request is run; below 1 counts as once.
        metrics: Counts the time that it took.

    Returns:
        How many requests there were; 0 without the file.

    Raises:
        StatusError: A request failed, or there are more than 1000.
    """
    file = folder / WARMUP_FILE
    if not file.is_file():
        return 0
    started, count, status = time.perf_counter(), 0, "OK"
    try:
        for signature, inputs in _requests(file):
            find_signature(servable, signature)
            for _ in range(max(1, iterations)):
                servable.run(signature, inputs)
            count += 1
    except StatusError as error:
        status = error.code
        raise
    finally:
        elapsed = (time.perf_counter() - started) * 1e6
        metrics.model_warmup_latency.observe(str(folder), status, microseconds=elapsed)
    return count


def _requests(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import tensorflow as tf

    for log in _logs(file):
        if log.WhichOneof("log_type") != "predict_log":
            _log.warning("%s: only predict requests warm up; another kind was left out", file)
            continue
        request = log.predict_log.request
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        yield request.model_spec.signature_name or DEFAULT_SIGNATURE, inputs


def _logs(file: Path) -> list[Any]:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    try:
        dataset = tf.data.TFRecordDataset(str(file)).take(MAX_RECORDS + 1)
        logs = [
            prediction_log_pb2.PredictionLog.FromString(record)
            for record in dataset.as_numpy_iterator()
        ]
    except Exception as error:
        raise as_status(error) from error
    if len(logs) > MAX_RECORDS:
        raise StatusError(
            "INVALID_ARGUMENT",
            f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {file}",
        )
    return logs
