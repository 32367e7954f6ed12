"""A version's folder to a version in memory: which backend, warm-up, and what is counted."""

from __future__ import annotations

import importlib
import logging
import os
import time
from typing import TYPE_CHECKING

from slipway.serving.server.saved_model import SavedModelServable
from slipway.serving.server.status import as_status
from slipway.serving.server.tflite import MODEL_FILE, TfliteServable
from slipway.serving.server.warmup import warm_up

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.serving.server.flags import ServerFlags
    from slipway.serving.server.metrics import Metrics
    from slipway.serving.server.signatures import Servable

_log = logging.getLogger(__name__)


class Loader:
    """Loads versions as the flags say.

    Args:
        flags: Backend, warm-up, parallelism and timeout.
        metrics: Counts attempts and time of SavedModel loads.
    """

    def __init__(self, flags: ServerFlags, metrics: Metrics) -> None:
        self._flags = flags
        self._metrics = metrics

    def load(self, folder: Path) -> Servable:
        """Loads one version and warms it up.

        ``model.tflite`` is taken only with ``--prefer_tflite_model``; where it is absent, the
        SavedModel is taken without a word, as TensorFlow Serving does.

        Raises:
            StatusError: It cannot be loaded, or a warm-up request failed.
        """
        servable = self._open(folder)
        if self._flags.enable_model_warmup:
            try:
                iterations = self._flags.num_request_iterations_for_warmup
                count = warm_up(servable, folder, iterations, self._metrics)
            except BaseException:
                servable.close()
                raise
            _log.info("Warmed up %s with %d request(s)", folder, count)
        return servable

    def _open(self, folder: Path) -> Servable:
        tflite = folder / MODEL_FILE
        try:
            if self._flags.prefer_tflite_model and tflite.is_file():
                return TfliteServable(tflite, self._flags)
            return self._open_saved_model(folder)
        except Exception as error:
            raise as_status(error) from error

    def _open_saved_model(self, folder: Path) -> Servable:
        # The first load pays for TensorFlow's import; it is none of the model's load latency.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        importlib.import_module("tensorflow")
        started, status = time.perf_counter(), "fail"
        try:
            servable = SavedModelServable(folder, self._flags)
            status = "success"
            return servable
        finally:
            elapsed = round((time.perf_counter() - started) * 1e6)
            self._metrics.load_latency.add(str(folder), by=elapsed)
            self._metrics.load_attempt_count.add(str(folder), status)
