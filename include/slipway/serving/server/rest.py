"""The REST API as an ASGI application: paths, errors and counting as in TensorFlow Serving.

Source: tensorflow_serving/model_servers/http_rest_api_handler.cc and http_rest_api_util.cc.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from slipway.serving.server.decoding import parse_predict
from slipway.serving.server.encoding import error_answer, predict_answer
from slipway.serving.server.signatures import find_signature
from slipway.serving.server.status import StatusError, as_status, http_status
from slipway.serving.server.versions import not_found

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager

    from starlette.types import Receive, Scope, Send

    from slipway.serving.server.config import MonitoringConfig
    from slipway.serving.server.core import Core
    from slipway.serving.server.metrics import Metrics
    from slipway.serving.server.signatures import Arrays, Servable
    from slipway.serving.server.versions import VersionStatus

_log = logging.getLogger(__name__)

_WHICH = r"(?:/versions/(\d+)|/labels/([^/:]+))?"
_CALL = re.compile(
    rf"/v1/models/([^/:]+){_WHICH}:(classify|regress|predict)", re.IGNORECASE | re.ASCII
)
_STATUS = re.compile(rf"/v1/models(?:/([^/:]+))?{_WHICH}(?:/(metadata))?", re.IGNORECASE | re.ASCII)
_MAX_VERSION = 2**63 - 1


class RestApi:
    """Answers ``/v1/models/...`` and the metrics path.

    Args:
        core: The models.
        metrics: Counts requests and shows all counts.
        monitoring: Whether and where the metrics are shown.
        pool: Threads on which requests run; the event loop only moves bytes.
    """

    def __init__(
        self, core: Core, metrics: Metrics, monitoring: MonitoringConfig, pool: Executor
    ) -> None:
        self._core = core
        self._metrics = metrics
        self._monitoring = monitoring
        self._pool = pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point; only HTTP comes here."""
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        loop = asyncio.get_running_loop()
        response = await loop.run_in_executor(self._pool, self._answer, request.method, path, body)
        await response(scope, receive, send)

    def _answer(self, method: str, path: str, body: bytes) -> Response:
        if self._monitoring.enabled and path == self._monitoring.path:
            return Response(self._metrics.exposition(), media_type="text/plain")
        if not path.lower().startswith("/v1/"):
            return Response("Not Found", status_code=404, media_type="text/plain")
        try:
            if method == "POST" and (call := _CALL.fullmatch(path)):
                return _json(self._called(call, body))
            if method == "GET" and (status := _STATUS.fullmatch(path)):
                return _json(self._described(status))
        except StatusError as error:
            return _refusal(error)
        return _refusal(StatusError("INVALID_ARGUMENT", f"Malformed request: {method} {path}"))

    def _called(self, call: re.Match[str], body: bytes) -> bytes:
        started = time.perf_counter()
        model, version, label, verb = call.groups()
        model, verb = unquote(model), verb.lower()
        try:
            answer = self._run(verb, model, version, label, body)
        except StatusError as error:
            self._metrics.request_count.add(model, error.code)
            raise
        except Exception as error:
            _log.exception("%s of %s failed", verb, model)
            self._metrics.request_count.add(model, "INTERNAL")
            raise as_status(error) from error
        elapsed = (time.perf_counter() - started) * 1e6
        self._metrics.request_latency.observe(model, verb, "REST", microseconds=elapsed)
        self._metrics.request_count.add(model, "OK")
        return answer

    def _run(
        self, verb: str, model: str, version: str | None, label: str | None, body: bytes
    ) -> bytes:
        if verb != "predict":
            raise StatusError(
                "UNIMPLEMENTED",
                f":{verb} is not offered by this server. Use :predict, which every signature "
                "takes, or TensorFlow Serving itself.",
            )
        asked = parse_predict(body)
        with self._lend(model, self._number(model, version, label)) as (_, servable):
            signature = find_signature(servable, asked.signature_name)
            inputs = asked.arrays(signature.inputs)
            outputs = self._timed(model, servable, asked.signature_name, inputs)
        return predict_answer(outputs, row=asked.row)

    def _timed(self, model: str, servable: Servable, signature: str, inputs: Arrays) -> Arrays:
        started = time.perf_counter()
        outputs = servable.run(signature, inputs)
        elapsed = (time.perf_counter() - started) * 1e6
        self._metrics.runtime_latency.observe(model, "Predict", "TF1", microseconds=elapsed)
        if servable.runs_graph:
            self._metrics.graph_runs.add()
            self._metrics.graph_run_time_usecs.add(by=round(elapsed))
        return outputs

    def _described(self, asked: re.Match[str]) -> bytes:
        model, version, label, metadata = asked.groups()
        if not model:
            raise StatusError("INVALID_ARGUMENT", "Missing model name in request.")
        model = unquote(model)
        number = self._number(model, version, label)
        content = self._metadata(model, number) if metadata else self._status(model, number)
        return json.dumps(content, indent=1).encode()

    def _status(self, model: str, number: int | None) -> dict[str, Any]:
        versions = self._core.find(model)
        found = versions.statuses() if versions else []
        if number is not None:
            found = [status for status in found if status.number == number]
            missing = f"Could not find version {number} of model {model}"
        else:
            missing = f"Could not find any versions of model {model}"
        if not found:
            raise StatusError("NOT_FOUND", missing)
        return {"model_version_status": [_version_status(status) for status in found]}

    def _metadata(self, model: str, number: int | None) -> dict[str, Any]:
        with self._lend(model, number) as (served, servable):
            return {
                "model_spec": {"name": model, "signature_name": "", "version": str(served)},
                "metadata": {"signature_def": {"signature_def": servable.metadata()}},
            }

    def _lend(self, model: str, number: int | None) -> AbstractContextManager[tuple[int, Servable]]:
        versions = self._core.find(model)
        if versions is None:
            raise not_found(model, number)
        return versions.lend(number)

    def _number(self, model: str, version: str | None, label: str | None) -> int | None:
        if label is not None:
            return self._core.labelled(model, unquote(label))
        if version is None:
            return None
        if int(version) > _MAX_VERSION:
            raise StatusError(
                "INVALID_ARGUMENT", f"Failed to convert version: {version} to numeric."
            )
        return int(version)


def _version_status(status: VersionStatus) -> dict[str, Any]:
    return {
        "version": str(status.number),
        "state": status.state.value,
        "status": {
            "error_code": status.error.code if status.error else "OK",
            "error_message": status.error.message if status.error else "",
        },
    }


def _refusal(error: StatusError) -> Response:
    return _json(error_answer(error.message), http_status(error.code))


def _json(content: bytes, status: int = 200) -> Response:
    return Response(content, status, media_type="application/json")
