"""Somebody's cluster, named by KUBECONFIG: nothing is started, and nothing of it is restarted."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

import pytest

from slipway.errors import TerminalError
from support.kubernetes.cluster import Cluster

if TYPE_CHECKING:
    from kubernetes.client import V1Service

KUBECONFIG = "KUBECONFIG"
SERVING_IMAGE = "SLIPWAY_TEST_SERVING_IMAGE"
SYNC_IMAGE = "SLIPWAY_TEST_SYNC_IMAGE"
RUNTIME_IMAGE = "SLIPWAY_TEST_RUNTIME_IMAGE"
HOST_ADDRESS = "SLIPWAY_TEST_HOST_ADDRESS"
_TENSORFLOW_SERVING = "tensorflow/serving:2.20.0"
_CONNECT_SECONDS = 2.0


class ExistingCluster(Cluster):
    """The cluster of the current context.

    Args:
        kubeconfig: An existing file.

    Raises:
        TerminalError: There is no such file, or the cluster has no node.
    """

    def __init__(self, kubeconfig: Path) -> None:
        super().__init__()
        from kubernetes import client

        if not kubeconfig.is_file():
            raise TerminalError(
                f"{KUBECONFIG} names {kubeconfig}, which is not a file",
                hint=f"unset {KUBECONFIG} to let the tests start a cluster of their own",
                subject=KUBECONFIG,
            )
        self.kubeconfig = kubeconfig
        self.serving_image = os.environ.get(SERVING_IMAGE, _TENSORFLOW_SERVING)
        nodes = client.CoreV1Api(self.api).list_node().items
        addresses = [one for node in nodes for one in node.status.addresses]
        internal = [one.address for one in addresses if one.type == "InternalIP"]
        if not internal:
            raise TerminalError(
                f"the cluster of {kubeconfig} has no node with an address",
                hint="add a node",
                subject=KUBECONFIG,
            )
        self.node_address = internal[0]
        self.host_address = os.environ.get(HOST_ADDRESS) or _address_towards(self.node_address)

    @property
    def sync_image(self) -> str:
        """Of $SLIPWAY_TEST_SYNC_IMAGE, which brings versions from S3."""
        return os.environ.get(SYNC_IMAGE) or pytest.skip(
            f"set {SYNC_IMAGE} to an image of docker/sync.Dockerfile that this cluster has"
        )

    @property
    def runtime_image(self) -> str:
        """Of $SLIPWAY_TEST_RUNTIME_IMAGE."""
        return os.environ.get(RUNTIME_IMAGE) or pytest.skip(
            f"set {RUNTIME_IMAGE} to an image with Slipway and TensorFlow that this cluster has"
        )

    def service_url(self, namespace: str, service: str, port: int) -> str:
        """The Service's own address, its load balancer's, or its node port's."""
        from kubernetes import client

        found = client.CoreV1Api(self.api).read_namespaced_service(service, namespace)
        for address, number in self._ways_to(found, port):
            if _answers(address, number):
                return f"http://{address}:{number}"
        pytest.skip(
            f"Service {service} is not reachable from this machine: on kind, run the tests on the "
            "machine of its nodes with a route to the Services' network, or make it a NodePort"
        )

    def _ways_to(self, service: V1Service, port: int) -> list[tuple[str, int]]:
        balancers = service.status.load_balancer.ingress or ()
        ways = [(service.spec.cluster_ip, port)]
        ways += [(entry.ip or entry.hostname, port) for entry in balancers]
        ports = {one.port: one.node_port for one in service.spec.ports}
        if ports.get(port):
            ways.append((self.node_address, ports[port]))
        return ways

    def restart_kubelet(self) -> None:
        """Skips."""
        _not_ours("its kubelet")

    def kill_node_agent(self) -> None:
        """Skips."""
        _not_ours("its kubelet")

    def restart_api_server(self) -> None:
        """Skips."""
        _not_ours("its API server")

    def logs(self, component: str) -> Path:
        """Skips."""
        _not_ours(f"the log of {component}")

    def heal(self) -> None:
        """Nothing was ended."""


def existing_cluster() -> ExistingCluster | None:
    """The one that KUBECONFIG names, if that is set."""
    named = os.environ.get(KUBECONFIG)
    return ExistingCluster(Path(named).expanduser()) if named else None


def _not_ours(what: str) -> NoReturn:
    pytest.skip(f"the cluster is the one of {KUBECONFIG}, and {what} is not the tests' to touch")


def _address_towards(address: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unsent:
        unsent.connect((urlsplit(f"//{address}").hostname or address, 9))
        return str(unsent.getsockname()[0])


def _answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), _CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
