"""What rollouts are tested with: tiny SavedModels, a whole stack, and steady traffic to stable."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

from slipway.evaluation.golden import Golden, GoldenRequest
from slipway.local.processes import ProcessTable, Service, answers, free_port
from slipway.local.prometheus import Prometheus
from slipway.rollout.session import Rollout, RolloutConfig, RolloutParameters
from slipway.rollout.target import Target
from slipway.serving.publish import publish
from slipway.spec.rollout import RolloutSpec, ServeSpec
from slipway.storage import StoreCredentials, open_store
from support.seaweed import seaweed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slipway.serving.publish import Published
    from slipway.storage import Store

SLOW_SECONDS = 0.12
SLOWER_SECONDS = 0.4
UNLUCKY = 0.05
INSTANCES = ([[1.0, 2.0]], [[0.5, -1.0], [3.0, 4.0]], [[0.0, 7.0]])

HEALTH: dict[str, Any] = {
    "window_seconds": 30,
    "interval_seconds": 1,
    "consecutive": 2,
    "minimum_requests": 30,
    "timeout_seconds": 12,
    "checks": {
        "error_ratio": {"largest": 0.02},
        "latency": [{"percentile": 90, "largest_ms": 100}],
        "load_failures": {"largest": 0},
    },
}


def write_models(folder: Path) -> None:
    """Writes times1 to times4, slow, slower, flaky and unlucky: x of [n, 2] times a number each.

    slow sleeps SLOW_SECONDS a request and slower SLOWER_SECONDS, flaky fails half of them, and
    unlucky fails 5% of those for [[1, 1]], which is among clients' requests and not among the
    golden ones.
    """
    import tensorflow as tf
    from tensorflow.python.data.experimental.ops.testing import sleep

    spec = [tf.TensorSpec([None, 2], tf.float32, name="x")]

    class Times(tf.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = tf.Variable(factor)

        @tf.function(input_signature=spec)
        def call(self, x: Any) -> dict[str, Any]:
            return {"y": x * self.factor}

        def _after(self, seconds: float, x: Any) -> dict[str, Any]:
            asleep = tf.data.Dataset.range(1).apply(sleep(int(seconds * 1e6)))
            zero = asleep.reduce(tf.constant(0, tf.int64), lambda total, one: total + one)
            return {"y": x * self.factor + tf.cast(zero, tf.float32)}

        @tf.function(input_signature=spec)
        def slow(self, x: Any) -> dict[str, Any]:
            return self._after(SLOW_SECONDS, x)

        @tf.function(input_signature=spec)
        def slower(self, x: Any) -> dict[str, Any]:
            return self._after(SLOWER_SECONDS, x)

        @tf.function(input_signature=spec)
        def flaky(self, x: Any) -> dict[str, Any]:
            tf.debugging.Assert(tf.random.uniform([]) < 0.5, ["out of luck"])
            return {"y": x * self.factor}

        @tf.function(input_signature=spec)
        def unlucky(self, x: Any) -> dict[str, Any]:
            golden = tf.reduce_any(tf.not_equal(x, 1.0))
            tf.debugging.Assert(golden | (tf.random.uniform([]) >= UNLUCKY), ["out of luck"])
            return {"y": x * self.factor}

    for factor in (1, 2, 3, 4):
        model = Times(float(factor))
        _save(model, model.call, folder / f"times{factor}")
    model = Times(5.0)
    _save(model, model.slow, folder / "slow")
    _save(model, model.slower, folder / "slower")
    _save(model, model.flaky, folder / "flaky")
    _save(model, model.unlucky, folder / "unlucky")


def _save(model: Any, function: Any, folder: Path) -> None:
    import tensorflow as tf

    tf.saved_model.save(model, str(folder), signatures={"serving_default": function})


def golden(model: str, factor: float) -> Golden:
    """What a model that multiplies by a number answers."""
    requests = tuple(
        GoldenRequest(
            body={"signature_name": "serving_default", "instances": instances},
            expected={"predictions": [[x * factor for x in row] for row in instances]},
        )
        for instances in INSTANCES
    )
    return Golden(
        model=model, variant="original", signature_name="serving_default", requests=requests
    )


@dataclass
class Stack:
    """A model server, an S3 server and Prometheus, all real, each in a process of its own."""

    models: Path
    uri: str
    store: Store
    environment: dict[str, str]
    table: ProcessTable
    server: Service

    @property
    def server_url(self) -> str:
        """Of the model server."""
        return self.environment["SLIPWAY_MODEL_SERVER_URL"]

    def publish(self, model: str, kind: str, *, answers_as: float) -> Published:
        """Publishes one of the models of `write_models`, with golden requests."""
        return publish_made(self.store, model, self.models / kind, answers_as)

    def config(self, **rollout: Any) -> RolloutConfig:
        """How to roll out, quickly."""
        probe = {"requests": 40, "rate_per_second": 20.0} | rollout.pop("probe", {})
        health = HEALTH | rollout.pop("health", {})
        return RolloutConfig(
            base_uri=self.uri,
            serve=ServeSpec.model_validate({"available_within_seconds": 120} | rollout),
            rollout=RolloutSpec.model_validate({"probe": probe, "health": health}),
        )

    def rollout(self, model: str, published: Published, run: str, **rollout: Any) -> Rollout:
        """A rollout of a published version."""
        parameters = RolloutParameters(
            version=published.version, digest=published.digest, rollout_id=run
        )
        target = Target(self.environment)
        return Rollout(model, self.config(**rollout), parameters, self.store, target)

    def make_stable(self, model: str, kind: str, factor: float) -> Published:
        """Publishes a version and makes it stable without further ado."""
        published = self.publish(model, kind, answers_as=factor)
        point_stable_at(self.rollout(model, published, "setup"))
        return published

    def factor(self, model: str, label: str) -> float | None:
        """By which number a label multiplies; None if it does not answer."""
        reply = httpx.post(
            f"{self.server_url}/v1/models/{model}/labels/{label}:predict",
            json={"instances": [[1.0, 1.0]]},
            trust_env=False,
        )
        return reply.json()["predictions"][0][0] if reply.is_success else None


def publish_made(store: Store, model: str, folder: Path, factor: float) -> Published:
    """Publishes a model of `write_models`, with golden requests that it multiplies by a factor."""
    return publish(
        store,
        model,
        folder,
        variant="original",
        metrics={},
        golden=golden(model, factor).model_dump_json().encode(),
    )


def point_stable_at(rollout: Rollout) -> None:
    """Makes a version stable that nothing was asked of."""
    rollout.point("stable", rollout.channel("stable"))
    rollout.converge()


@contextmanager
def running_stack(folder: Path) -> Iterator[Stack]:
    """Starts everything on free ports and ends all of it."""
    models = folder / "models"
    in_own_process(
        f"from support.rollouts import write_models; write_models(Path({str(models)!r}))"
    )
    port = free_port()
    config = folder / "models.config"
    config.write_text("model_config_list {}\n")
    table = ProcessTable(folder / "server")
    with (
        seaweed() as s3,
        Prometheus(folder / "prometheus", targets=[f"127.0.0.1:{port}"]) as prometheus,
    ):
        uri = s3.create_bucket("models")
        service = _model_server(folder, port, config, s3.credentials)
        try:
            table.start(service)
            environment = {
                **s3.credentials.to_environment(),
                "SLIPWAY_MODEL_SERVER_URL": f"http://127.0.0.1:{port}",
                "SLIPWAY_MODEL_CONFIG_FILE": str(config),
                "SLIPWAY_PROMETHEUS_URL": prometheus.url,
            }
            store = open_store(uri, s3.credentials)
            yield Stack(models, uri, store, environment, table, service)
        finally:
            table.stop_all()


def _model_server(folder: Path, port: int, config: Path, credentials: StoreCredentials) -> Service:
    monitoring = folder / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }\n")
    command = (
        sys.executable,
        "-m",
        "slipway.serving.server",
        f"--rest_api_port={port}",
        f"--model_config_file={config}",
        "--model_config_file_poll_wait_seconds=1",
        f"--monitoring_config_file={monitoring}",
        "--max_num_load_retries=0",
        "--allow_version_labels_for_unavailable_models=true",
        f"--model_cache_dir={folder / 'cache'}",
    )
    ready = f"http://127.0.0.1:{port}/monitoring/prometheus/metrics"
    environment = credentials.to_environment()
    return Service("model-server", command, lambda: answers(ready), environment)


def in_own_process(code: str) -> None:
    """Runs Python code, with Path imported."""
    # TensorFlow's threads and memory stay out of the tests' process.
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    subprocess.run(
        [sys.executable, "-c", f"from pathlib import Path; {code}"],
        check=True,
        env={**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


@dataclass
class SteadyTraffic:
    """A client of stable that never stops asking and keeps count."""

    stack: Stack
    model: str
    pause_seconds: float = 0.03
    factors: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def wait_for(self, count: int) -> None:
        """Waits until this many more answers came."""
        wanted, deadline = len(self.factors) + count, time.monotonic() + 30
        while len(self.factors) < wanted:
            assert time.monotonic() < deadline, f"stable does not answer: {self.failures[-3:]}"
            time.sleep(0.02)

    def _ask(self) -> None:
        url = f"{self.stack.server_url}/v1/models/{self.model}/labels/stable:predict"
        body: Mapping[str, Any] = {"instances": [[1.0, 1.0]]}
        with httpx.Client(timeout=30, trust_env=False) as client:
            while not self._over.wait(self.pause_seconds):
                try:
                    reply = client.post(url, json=body)
                    reply.raise_for_status()
                    self.factors.append(reply.json()["predictions"][0][0])
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
