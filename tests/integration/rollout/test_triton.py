"""A rollout's ways to Triton, on a real one: the pod's flags and files, protocol, metrics."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from typer.testing import CliRunner

from slipway.cli.main import app
from slipway.errors import TerminalError
from slipway.evaluation.facts import TensorFacts
from slipway.evaluation.golden import Golden, GoldenRequest
from slipway.kubernetes import manifests
from slipway.kubernetes.spec import served_spec
from slipway.kubernetes.versions import VersionServers
from slipway.local.prometheus import Prometheus
from slipway.rollout import kserve
from slipway.rollout.checks import checks
from slipway.rollout.endpoint import Endpoint
from slipway.rollout.probe import probe
from slipway.rollout.prometheus import PrometheusClient
from slipway.rollout.session import Rollout, RolloutConfig, RolloutParameters
from slipway.rollout.subject import Subject
from slipway.rollout.target import Target
from slipway.serving.channels import move_channel
from slipway.serving.publish import publish
from slipway.serving.triton import model_config
from slipway.storage import open_store
from support.asking import eventually
from support.kubernetes_specs import served_model
from support.triton import Triton, triton

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from slipway.storage import Store

MODEL = "toy"
VERSION = 2
INPUTS = {
    "x": TensorFacts(dtype="float32", shape=(-1, 4)),
    "kind": TensorFacts(dtype="int64", shape=(-1,)),
}
OUTPUTS = {
    "scores": TensorFacts(dtype="float32", shape=(-1, 2)),
    "total": TensorFacts(dtype="float32", shape=(-1,)),
}
KINDS = [[0.0, 0.0], [10.0, -10.0], [0.5, 0.25]]
POLICY = {
    "window_seconds": 300,
    "minimum_requests": 10,
    "checks": {
        "error_ratio": {"largest": 0.1},
        "latency": [{"percentile": 99, "largest_ms": 30000}],
    },
}


def write_graph(path: Path) -> None:
    """scores = [x0 + x1, x2 + x3] + KINDS[kind]; total = their sum. Other kinds are an error."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "weights"], ["plain"]),
            helper.make_node("Gather", ["kinds", "kind"], ["shift"]),
            helper.make_node("Add", ["plain", "shift"], ["scores"]),
            helper.make_node("ReduceSum", ["scores", "axes"], ["total"], keepdims=0),
        ],
        "toy",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4]),
            helper.make_tensor_value_info("kind", TensorProto.INT64, ["batch"]),
        ],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 2]),
            helper.make_tensor_value_info("total", TensorProto.FLOAT, ["batch"]),
        ],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array(KINDS, np.float32), "kinds"),
            numpy_helper.from_array(np.array([1], np.int64), "axes"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, path)


def answered(x: list[float], kind: int) -> dict[str, Any]:
    scores = [x[0] + x[1] + KINDS[kind][0], x[2] + x[3] + KINDS[kind][1]]
    return {"scores": scores, "total": sum(scores)}


def golden(*, off: float = 0.0) -> Golden:
    asked = [
        [{"x": [1.0, 2.0, 3.0, 4.0], "kind": 1}],
        [{"x": [0.5, 0.0, -1.0, 2.5], "kind": 0}, {"x": [9.0, 8.0, 7.0, 6.0], "kind": 2}],
    ]
    requests = [
        GoldenRequest(
            body={"signature_name": "serving_default", "instances": instances},
            expected={"predictions": [answered(**each) for each in instances]},
        )
        for instances in asked
    ]
    requests[0].expected["predictions"][0]["total"] += off
    made = {"model": MODEL, "variant": "onnx", "signature_name": "serving_default"}
    return Golden.model_validate({**made, "requests": requests})


def publish_graph(store: Store, folder: Path, expected: Golden) -> None:
    """As version 2, as version 1 was another."""
    (folder / "other").mkdir()
    (folder / "other" / "model.onnx").write_bytes(b"not for this test")
    (folder / "graph").mkdir()
    write_graph(folder / "graph" / "model.onnx")
    config = model_config(MODEL, "onnx", INPUTS, OUTPUTS)
    for name in ("other", "graph"):
        published = publish(
            store,
            MODEL,
            folder / name,
            variant="onnx",
            metrics={},
            golden=expected.model_dump_json().encode(),
            triton_config=config,
        )
    move_channel(
        store, MODEL, "canary", version=VERSION, digest=published.digest, expected_generation=0
    )


class LoopbackServers(VersionServers):
    """The version's pods are the server of this test."""

    def canary_endpoint(self) -> Endpoint:
        return Endpoint(self.rollout.target.server_url)


def rollout_on(server: Triton, store: Store, expected_digest: str) -> Rollout:
    spec = served_model(model=MODEL, triton=True)
    shape = spec.rollout.model_copy(
        update={"probe": spec.rollout.probe.model_copy(update={"requests": 30})}
    )
    made = Rollout(
        MODEL,
        RolloutConfig(base_uri=store.uri, serve=spec.serve, rollout=shape),
        RolloutParameters(version=VERSION, digest=expected_digest, rollout_id="run"),
        store,
        Target({"SLIPWAY_MODEL_SERVER_URL": server.url}),
    )
    servers = LoopbackServers(made, served_spec(made), cluster=None)  # type: ignore[arg-type]  # none is asked
    made.__dict__["servers"] = servers
    return made


@dataclass(frozen=True)
class Place:
    """A published version, and a Triton that serves it as a pod would."""

    store: Store
    server: Triton
    pod: dict[str, Any]
    metrics_path: str

    def rollout(self) -> Rollout:
        canary = self.store.get(f"{MODEL}/_slipway/channels/canary.json")
        assert canary is not None
        return rollout_on(self.server, self.store, json.loads(canary.data)["digest"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("triton")
    store = open_store(str(folder / "bucket"))
    publish_graph(store, folder, golden())
    spec = served_model(model=MODEL, triton=True, latency=POLICY["checks"]["latency"])  # type: ignore[index]
    [deployment] = [
        each for each in manifests.render(spec, VERSION) if each["kind"] == "Deployment"
    ]
    template = deployment["spec"]["template"]
    path, pod = template["metadata"]["annotations"]["prometheus.io/path"], template["spec"]
    command = pod["initContainers"][0]["command"]
    assert command[:2] == ["slipway", "sync"]
    # The pod's own command, with this test's bucket and folder.
    arguments = [f"{store.uri}/{MODEL}", str(folder / "models" / MODEL), *command[4:]]
    done = CliRunner().invoke(app, ["sync", *arguments])
    assert done.exit_code == 0, done.output
    flags = pod["containers"][0]["args"]
    with triton(folder / "models", flags, folder) as server:
        yield Place(store, server, pod, path)


def status(place: Place, path: str) -> int:
    return httpx.get(f"{place.server.url}{path}", trust_env=False).status_code


def test_the_pods_probes_are_answered_for_the_pods_version_alone(place: Place) -> None:
    server = place.pod["containers"][0]
    assert status(place, server["startupProbe"]["httpGet"]["path"]) == 200
    assert status(place, server["livenessProbe"]["httpGet"]["path"]) == 200
    assert status(place, server["readinessProbe"]["httpGet"]["path"]) == 200
    assert server["readinessProbe"]["httpGet"]["path"] == kserve.ready_path(MODEL, VERSION)
    assert status(place, kserve.ready_path(MODEL, 1)) != 200


def test_golden_requests_are_asked_and_answered(place: Place) -> None:
    figures, details = probe(place.rollout())
    assert figures["probe_failed_requests"] == 0
    assert figures["probe_differing_answers"] == 0
    assert figures["probe_requests"] == 32
    assert details["url"].endswith("/v2/models/toy/versions/2/infer")


def test_an_answer_that_differs_stops_the_rollout(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway.rollout.probe.read_golden", lambda *_: golden(off=0.5))
    with pytest.raises(TerminalError, match=r"predictions\[0\].total: expected 10\.5, got 10"):
        probe(place.rollout())


def test_the_health_gate_counts_requests_failures_and_latency(place: Place, tmp_path: Path) -> None:
    spec = served_model(triton=True)
    subject = Subject.of(spec.rollout, spec.serve, MODEL, VERSION).model_copy(
        # This Prometheus knows of no namespaces, and others have asked the server before.
        update={"scope": (), "version_label": "version", "since": 0.0}
    )
    wanted = {
        check.name: check.promql
        for check in checks(spec.rollout.health.model_validate(POLICY), subject)
    }
    path = kserve.infer_path(MODEL, VERSION)
    interface = kserve.parse_interface(model_config(MODEL, "onnx", INPUTS, OUTPUTS))
    with (
        Prometheus(
            tmp_path,
            targets=[place.server.metrics],
            metrics_path=place.metrics_path,
        ) as prometheus,
        PrometheusClient(prometheus.url) as client,
        httpx.Client(base_url=place.server.url, trust_env=False) as http,
    ):
        eventually(client, "sum(up)", 1)
        eventually(client, str(wanted["requests"]), 0)
        for kind in (0, 1, 2, 99):
            row = {"x": [1.0, 1.0, 1.0, 1.0], "kind": kind}
            reply = http.post(path, json=interface.request({"instances": [row]}))
            assert reply.is_success == (kind in {0, 1, 2}), reply.text
        eventually(client, str(wanted["requests"]), 4)
        eventually(client, str(wanted["error_ratio"]), 0.25)
        latency = client.query(str(wanted["latency_p99_ms"]))
        assert latency is not None
        assert 0 < latency < 30_000
