"""What a test knows of the cluster that it runs on, its own or somebody else's."""

from __future__ import annotations

import secrets
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from slipway.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_WAIT_SECONDS = 60.0
_POLL_SECONDS = 0.1
_LONGEST_POLL_SECONDS = 10.0


class Cluster(ABC):
    """A Kubernetes cluster.

    Attributes:
        kubeconfig: Of an administrator.
        serving_image: Image of the model server. It takes TensorFlow Serving's command line.
        host_address: Where pods reach servers that the tests run, if these listen on that address
            or on every one.
        node_address: Where node ports are reached.
    """

    kubeconfig: Path
    serving_image: str
    host_address: str
    node_address: str

    def __init__(self) -> None:
        self._namespaces: list[str] = []
        self._api: Any = None

    @property
    @abstractmethod
    def sync_image(self) -> str:
        """Image that brings versions from S3; skips the test if there is none."""

    @property
    @abstractmethod
    def runtime_image(self) -> str:
        """Image in which any step of a build runs; skips the test if there is none."""

    @property
    def api(self) -> Any:
        """The administrator's `kubernetes.client.ApiClient`."""
        from kubernetes.config import new_client_from_config

        if self._api is None:
            self._api = new_client_from_config(str(self.kubeconfig))
        return self._api

    def namespace(self, name: str) -> str:
        """Makes a namespace and the default service account in it.

        Args:
            name: What its own name begins with.

        Returns:
            Its name, which no other has. `delete_namespaces` deletes it.
        """
        from kubernetes import client

        core = client.CoreV1Api(self.api)
        full = f"{name}-{secrets.token_hex(3)}"
        core.create_namespace({"metadata": {"name": full}})
        self._namespaces.append(full)
        until(
            lambda: core.list_namespaced_service_account(full).items,
            f"namespace {full} has a service account",
        )
        return full

    def delete_namespaces(self) -> None:
        """Deletes all that `namespace` has made so far, with what is in them; does not wait."""
        from kubernetes import client

        core = client.CoreV1Api(self.api)
        while self._namespaces:
            core.delete_namespace(self._namespaces.pop(), grace_period_seconds=0)

    @abstractmethod
    def service_url(self, namespace: str, service: str, port: int) -> str:
        """Where this process reaches a Service; its requests are balanced as those of a pod.

        Args:
            namespace: Of the Service.
            service: Its name.
            port: The Service's own.
        """

    def node_port_url(self, namespace: str, service: str, port: int) -> str:
        """Where this process reaches a Service of type NodePort, by that port of a node."""
        from kubernetes import client

        found = client.CoreV1Api(self.api).read_namespaced_service(service, namespace)
        ports = {one.port: one.node_port for one in found.spec.ports}
        return f"http://{self.node_address}:{ports[port]}"

    @abstractmethod
    def restart_kubelet(self) -> None:
        """Ends the kubelet if it runs, starts it, and waits until it reports to the API again."""

    @abstractmethod
    def kill_node_agent(self) -> None:
        """Kills the kubelet, which stays away until `restart_kubelet` or the end of the test."""

    @abstractmethod
    def restart_api_server(self) -> None:
        """Ends the API server, starts it, and waits until it is ready."""

    @abstractmethod
    def logs(self, component: str) -> Path:
        """The log file of kube-apiserver, kubelet, containerd and so on."""

    @abstractmethod
    def heal(self) -> None:
        """Starts what a test ended and did not start again."""


def until(
    condition: Callable[[], Any], what: str, seconds: float = _WAIT_SECONDS, hint: str = ""
) -> Any:
    """Waits for a condition.

    An API server that does not answer, or knows no such object, is no reason to give up.

    Args:
        condition: Called until it gives something true.
        what: The condition, for the error.
        seconds: For how long, in time that this machine runs.
        hint: Where to look if it does not come.

    Returns:
        What the condition gave.

    Raises:
        TransientError: It did not come.
    """
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    left = seconds
    last = ""
    while True:
        began = time.monotonic()
        try:
            if value := condition():
                return value
        except (ApiException, HTTPError) as error:
            last = f": {error}"
        if left < 0:
            raise TransientError(
                f"not within {seconds:g} s: {what}{last}",
                hint=hint or "look at the pods' events",
                subject=what,
            )
        time.sleep(_POLL_SECONDS)
        # A virtual machine that was suspended meanwhile gave the cluster no time to get on.
        left -= min(time.monotonic() - began, _LONGEST_POLL_SECONDS)
