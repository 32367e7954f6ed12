"""Golden requests: made from a variant's own answers, then asked of the model server."""

from __future__ import annotations

import base64
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.evaluation.facts import ServerFacts
from slipway.evaluation.golden import Golden, GoldenRequest
from slipway.evaluation.replay import UnansweredError, compared, replay

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx
    import numpy as np

    from slipway.contracts import ArtifactRef
    from slipway.definition import Examples
    from slipway.evaluation.runner import Runner

# Instances of each request: mostly one, as clients ask, and two that show that batches work.
_REQUEST_SIZES = (1, 1, 1, 1, 1, 1, 2, 4)
_LOAD_SECONDS = 60.0
_REQUEST_SECONDS = 30.0


def make_golden(runner: Runner, model: str, signature: str, examples: Examples) -> Golden:
    """Ask the variant itself, in its own types.

    The examples are spread evenly over those of the split that JSON can carry.

    Raises:
        TerminalError: as `Runner.encode`, or every example has a NaN or infinite input.
    """
    sizes = (1,) * len(_REQUEST_SIZES) if runner.batch else _REQUEST_SIZES
    usable = _finite_examples(examples)
    requests, start, step = [], 0, max(1, len(usable) // sum(sizes))
    for size in sizes:
        chosen = [usable[(start + number) * step % len(usable)] for number in range(size)]
        start += size
        part = {name: values[chosen] for name, values in examples.inputs.items()}
        encoded = runner.encode(part)
        body = {"signature_name": signature, "instances": rows(encoded)}
        requests.append(
            GoldenRequest(body=body, expected={"predictions": rows(runner.answer(encoded))})
        )
    quantized = any(facts.scale for facts in runner.signature.outputs.values())
    return Golden(
        model=model,
        variant=runner.variant,
        signature_name=signature,
        tolerance=1.0 if quantized else 0.0,
        requests=tuple(requests),
    )


def rows(arrays: Mapping[str, np.ndarray]) -> list[Any]:
    """Arrays of shape [examples, ...] as TensorFlow Serving's row form: one JSON value each."""
    columns = {name: _plain(values.tolist()) for name, values in arrays.items()}
    if len(columns) == 1:
        only: list[Any] = next(iter(columns.values()))
        return only
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def ask_server(artifact: ArtifactRef, golden: Golden) -> ServerFacts:
    """Load a variant in Slipway's model server, in this process, and ask the golden requests.

    What that server does not serve, as TensorFlow Serving does not, onnxruntime answers.

    Never raises for what the variant does wrong: that is in `problems`.
    """
    import httpx

    if artifact.kind in {"onnx", "tensorrt"}:
        return replay(artifact, golden)

    from slipway.serving.server.app import Server
    from slipway.serving.server.flags import ServerFlags

    with tempfile.TemporaryDirectory(prefix="slipway-serve-") as folder:
        base = Path(folder, golden.model)
        base.mkdir()
        (base / "1").symlink_to(artifact.servable, target_is_directory=True)
        flags = ServerFlags(
            rest_api_port=free_port(),
            model_name=golden.model,
            model_base_path=str(base),
            prefer_tflite_model=artifact.kind == "tflite",
            file_system_poll_wait_seconds=0,
            max_num_load_retries=0,
            model_cache_dir=str(Path(folder, "cache")),
        )
        with (
            Server(flags) as server,
            httpx.Client(base_url=server.url, timeout=_REQUEST_SECONDS, trust_env=False) as client,
        ):
            problem = _wait_available(client, golden.model)
            if problem:
                return ServerFacts(requests=0, largest_difference=None, problems=(problem,))
            return _ask(client, golden)


def free_port() -> int:
    """A port of the loopback interface that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_available(client: httpx.Client, model: str) -> str | None:
    """Why the version did not become AVAILABLE; None once it is."""
    deadline = time.monotonic() + _LOAD_SECONDS
    last = "nothing"
    while time.monotonic() < deadline:
        reply = client.get(f"/v1/models/{model}")
        if reply.is_success:
            [version] = reply.json()["model_version_status"]
            if version["state"] == "AVAILABLE":
                return None
            last = f"{version['state']}: {version['status']['error_message']}"
            if version["state"] == "END":
                break
        time.sleep(0.02)
    return f"the model server did not load it: {last}"


def _ask(client: httpx.Client, golden: Golden) -> ServerFacts:
    def ask(body: dict[str, Any]) -> object:
        reply = client.post(f"/v1/models/{golden.model}:predict", json=body)
        if not reply.is_success:
            raise UnansweredError(f"HTTP {reply.status_code}: {reply.text}")
        answer: object = reply.json()
        return answer

    return compared(golden, ask)


def _finite_examples(examples: Examples) -> list[int]:
    import numpy as np

    usable = np.ones(len(examples), dtype=bool)
    for values in examples.inputs.values():
        array = np.asarray(values)
        if array.dtype.kind == "f":
            usable &= np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if not usable.any():
        raise TerminalError(
            "every example of the test split has a NaN or infinite input",
            hint="golden requests need at least one example of finite numbers",
            subject="test",
        )
    return [int(index) for index in np.flatnonzero(usable)]


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode()}
    return value
