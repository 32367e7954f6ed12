"""The kubelet's own metrics, as the check of saturation asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.local.prometheus import Prometheus
from slipway.rollout import promql
from slipway.rollout.prometheus import PrometheusClient
from support.http import answering
from support.kubernetes.cluster import until

if TYPE_CHECKING:
    from pathlib import Path

    from support.kubernetes.rollouts import ClusterStack

_PATH = "/metrics/cadvisor"


def _served_by_the_kubelets(stack: ClusterStack) -> bytes:
    from kubernetes import client

    core = client.CoreV1Api(stack.cluster.api)
    # The client would take the text for JSON, and give back what Python calls it.
    pages = [
        core.connect_get_node_proxy_with_path(
            node.metadata.name, _PATH[1:], _preload_content=False
        ).data
        for node in core.list_node().items
    ]
    return b"".join(pages)


def test_the_busiest_server_of_a_version_is_found_and_no_other(
    stack: ClusterStack, tmp_path: Path
) -> None:
    namespace = stack.namespace("busy")
    stack.make_stable("busy", "times1", 1.0, stack.config(namespace))
    pages = {_PATH: (200, _served_by_the_kubelets(stack))}
    with (
        stack.load(namespace, "busy"),
        answering(pages) as page,
        Prometheus(
            tmp_path / "prometheus", targets=[f"127.0.0.1:{page.port}"], metrics_path=_PATH
        ) as prometheus,
        PrometheusClient(prometheus.url) as client,
    ):

        def share() -> float | None:
            pages[_PATH] = (200, _served_by_the_kubelets(stack))
            return client.query(promql.saturation("busy-v1", f'namespace="{namespace}"'))

        found = until(share, "the kubelet has counted the pods' processor time twice")
        assert 0 < found < 1.5
        assert client.query(promql.saturation("busy-v2", f'namespace="{namespace}"')) is None
        assert client.query(promql.saturation("busy-v1", 'namespace="elsewhere"')) is None
