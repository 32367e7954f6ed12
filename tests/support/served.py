"""Tiny SavedModels, a model server around them, and a client that waits for conditions."""

from __future__ import annotations

import shutil
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx

from slipway.local.processes import free_port
from slipway.serving.server import Server, ServerFlags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

T = TypeVar("T")

DEADLINE_SECONDS = 60.0
FAST = ServerFlags(load_retry_interval_micros=100_000)


def write_models(folder: Path) -> None:
    """Writes one SavedModel per kind that the tests need, each in a folder named for it."""
    import tensorflow as tf

    def spec(name: str, dtype: Any, *shape: int | None) -> Any:
        return tf.TensorSpec(shape, dtype, name=name)

    class Times(tf.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = tf.Variable(factor)

        @tf.function(input_signature=[spec("x", tf.float32, None, 2)])
        def call(self, x: Any) -> dict[str, Any]:
            return {"y": x * self.factor}

    class Mixed(tf.Module):
        @tf.function(
            input_signature=[
                spec("age", tf.int64, None),
                spec("city", tf.string, None),
                spec("scores", tf.float32, None, 2),
            ]
        )
        def call(self, age: Any, city: Any, scores: Any) -> dict[str, Any]:
            return {
                "greeting": tf.strings.join(["to ", city]),
                "raw_bytes": city,
                "total": tf.cast(age, tf.float32) + tf.reduce_sum(scores, 1),
                "adult": age >= 18,
            }

        @tf.function(input_signature=[spec("x", tf.float32, None)])
        def quotient(self, x: Any) -> dict[str, Any]:
            return {"y": 1.0 / x}

    class Slow(tf.Module):
        @tf.function(input_signature=[spec("rounds", tf.int32)])
        def call(self, rounds: Any) -> dict[str, Any]:
            start = tf.ones((64, 64))
            return {
                "y": tf.while_loop(
                    lambda i, _: i < rounds,
                    lambda i, x: (i + 1, tf.tanh(tf.matmul(x, start))),
                    (0, start),
                )[1][0, :1]
            }

    for factor in (1, 2, 3):
        times = Times(float(factor))
        tf.saved_model.save(
            times, str(folder / f"times{factor}"), signatures={"serving_default": times.call}
        )
    mixed = Mixed()
    signatures = {"serving_default": mixed.call, "quotient": mixed.quotient}
    tf.saved_model.save(mixed, str(folder / "mixed"), signatures=signatures)
    slow = Slow()
    tf.saved_model.save(slow, str(folder / "slow"), signatures={"serving_default": slow.call})


def write_tflite(saved_model: Path, file: Path) -> None:
    """Converts a SavedModel, its signatures included."""
    import tensorflow as tf

    file.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(saved_model)).convert())


def write_warmup(version: Path, inputs: Mapping[str, Any], count: int = 1) -> None:
    """Gives a version warm-up requests."""
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    file = version / "assets.extra" / "tf_serving_warmup_requests"
    file.parent.mkdir()
    with tf.io.TFRecordWriter(str(file)) as writer:
        for _ in range(count):
            writer.write(log.SerializeToString())


def place(model: Path, version: Path) -> None:
    """Makes a version appear at once: copied beside, then renamed."""
    partial = version.with_name(f"partial-{version.name}")
    shutil.copytree(model, partial)
    partial.rename(version)


def until(probe: Callable[[], T], seconds: float = DEADLINE_SECONDS) -> T:
    """Calls until the answer is true, and returns it; fails after a deadline."""
    deadline = time.monotonic() + seconds
    while not (answer := probe()):
        assert time.monotonic() < deadline, f"not so within {seconds:.0f} s: last {answer!r}"
        time.sleep(0.02)
    return answer


class Client:
    """Talks to a server as any client of TensorFlow Serving does."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=30.0, trust_env=False)

    def predict(self, path: str, body: Any) -> httpx.Response:
        """POSTs to ``/v1/models/<path>:predict``."""
        return self.http.post(f"/v1/models/{path}:predict", json=body)

    def factor(self, path: str = "m") -> float | None:
        """By which number the answering version multiplies; None while there is no answer."""
        response = self.predict(path, {"instances": [[1.0, 1.0]]})
        return response.json()["predictions"][0][0] if response.status_code == 200 else None

    def versions(self, model: str = "m") -> dict[int, dict[str, Any]]:
        """The status of each version."""
        response = self.http.get(f"/v1/models/{model}")
        if response.status_code == 404:
            return {}
        return {int(v["version"]): v for v in response.json()["model_version_status"]}

    def state(self, version: int, model: str = "m") -> str | None:
        """The state of a version, None if it was never wanted."""
        found = self.versions(model).get(version)
        return found["state"] if found else None

    def wait(self, version: int, state: str = "AVAILABLE", model: str = "m") -> None:
        """Waits until a version is in a state."""
        until(lambda: self.state(version, model) == state)

    def metrics(self) -> list[str]:
        """The lines of the metrics page."""
        response = self.http.get("/monitoring/prometheus/metrics")
        assert response.status_code == 200
        return response.text.splitlines()


@contextmanager
def serving(flags: ServerFlags) -> Iterator[Client]:
    """Runs a server on a free port in this process."""
    with Server(replace(flags, rest_api_port=free_port())) as server:
        client = Client(server.url)
        with client.http:
            yield client


class Traffic:
    """Sends requests without pause from several threads and keeps every answer."""

    def __init__(self, url: str, path: str, threads: int = 3) -> None:
        self.answers: list[tuple[int, Any]] = []
        self._url = url
        self._path = path
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def failures(self) -> list[tuple[int, Any]]:
        """Every answer that was not a prediction."""
        return [answer for answer in self.answers if answer[0] != 200]

    def factors(self) -> list[float]:
        """By which number each answer was multiplied, in order of arrival."""
        return [body["predictions"][0][0] for _, body in self.answers]

    def _send(self) -> None:
        client = Client(self._url)
        with client.http:
            while not self._over.is_set():
                try:
                    response = client.predict(self._path, {"instances": [[1.0, 1.0]]})
                    self.answers.append((response.status_code, response.json()))
                except httpx.HTTPError as error:
                    self.answers.append((0, repr(error)))
                # 2 cores are shared with the server itself: leave it some.
                self._over.wait(0.002)
