"""Whether a server runs a version's TFLite file: where it does not, it falls back in silence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx

from slipway.errors import TerminalError
from slipway.serving.server.config import DEFAULT_METRICS_PATH
from slipway.serving.server.tflite import MODEL_FILE

if TYPE_CHECKING:
    from slipway.rollout.endpoint import Endpoint
    from slipway.serving.layout import Manifest

_TIMEOUT_SECONDS = 10.0
_DENIED = frozenset({401, 403})

# TensorFlow Serving counts what it loads as a SavedModel, and nothing else, by the version's path:
# tensorflow/cc/saved_model/loader.cc, and in tensorflow_serving/servables/tensorflow
# saved_model_bundle_factory.cc, which opens model.tflite without that loader.
_LOADED = re.compile(
    r'^:tensorflow:cc:saved_model:load_attempt_count\{model_path="(?P<path>[^"]*)",'
    r'status="success"\} +(?P<count>[0-9.e+]+)',
    re.MULTILINE,
)


def has_tflite(manifest: Manifest) -> bool:
    """Whether a version has a TFLite file, which is then what was validated."""
    return any(entry.path == MODEL_FILE for entry in manifest.files)


def runs_tflite(endpoint: Endpoint, model: str, version: int) -> bool | None:
    """Whether the server that answers there runs a version's TFLite file.

    TensorFlow Serving loads the SavedModel beside it, without a word, if the flag that asks for
    TFLite is missing.

    Returns:
        True; or None if the server shows no metrics, by which alone it can be told.

    Raises:
        TerminalError: It runs the SavedModel, or its metrics may not be read.
    """
    shown = _metrics(endpoint)
    if shown is None:
        return None
    place = re.compile(rf"(.*/)?{re.escape(model)}/0*{version}/?")
    loads = [found for found in _LOADED.finditer(shown) if place.fullmatch(found["path"])]
    if not any(float(found["count"]) for found in loads):
        return True
    raise TerminalError(
        f"the model server at {endpoint.url} runs the SavedModel of {model} version {version}, not "
        f"its {MODEL_FILE}, which is what was validated",
        hint="start the server with --prefer_tflite_model (--use_tflite_model before 2.3); "
        "`slipway serve-config` writes the flag of its version",
        subject=f"{model}/{version}",
        details={"model_path": loads[0]["path"]},
    )


def _metrics(endpoint: Endpoint) -> str | None:
    try:
        with endpoint.client(_TIMEOUT_SECONDS) as client:
            reply = client.get(f"{endpoint.url}{DEFAULT_METRICS_PATH}")
    except httpx.HTTPError:
        return None
    if reply.status_code in _DENIED:
        raise TerminalError(
            f"may not read the metrics of the model server at {endpoint.url}: HTTP "
            f"{reply.status_code}",
            hint="on Kubernetes allow `get` of services/proxy; without its metrics nobody can tell "
            f"whether the server runs {MODEL_FILE}",
            subject=endpoint.url,
        )
    return reply.text if reply.is_success else None
