"""The cluster that the tests start for themselves: a real one, of one node."""

from __future__ import annotations

import signal
import subprocess
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from slipway.errors import TransientError
from support.kubernetes import containerd, runtime_image
from support.kubernetes.binaries import binaries
from support.kubernetes.cluster import Cluster, until
from support.kubernetes.components import (
    API_PORT,
    CONTROL_PLANE,
    NODE,
    Components,
    make_cgroups,
)
from support.kubernetes.identities import Identities
from support.kubernetes.machine import Machine
from support.kubernetes.slots import Slot, free_slot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_API_SECONDS = 60.0
_NODE_SECONDS = 60.0
_GRACE_SECONDS = 2.0  # an API server waits for its clients to close their connections


class OwnCluster(Cluster):
    """All of it runs in one `Machine`; see `own_cluster`.

    Args:
        slot: Its names and addresses.
        machine: Started, and connected to the host.
        programs: Folder of the binaries.
    """

    serving_image = runtime_image.SERVING_IMAGE

    def __init__(self, slot: Slot, machine: Machine, programs: Path) -> None:
        super().__init__()
        self.slot = slot
        self.host_address = slot.host
        self.node_address = slot.node
        self._machine = machine
        identities = Identities(slot.folder / "identities", f"https://{slot.node}:{API_PORT}")
        self.kubeconfig = identities.administrator()
        self._components = Components(programs, slot.folder, slot, identities)

    @property
    def sync_image(self) -> str:
        """The same: it has `slipway sync`."""
        return self.serving_image

    @property
    def runtime_image(self) -> str:
        """The same: it has every package that a step needs."""
        return self.serving_image

    def start(self) -> None:
        """Starts all components and waits for the node."""
        self._components.write_pod_network(containerd.networks_folder(self._machine))
        make_cgroups(self.slot.name)
        for component in CONTROL_PLANE[:2]:
            self._start(component)
        self._wait_for_api_server()
        for component in (*CONTROL_PLANE[2:], *NODE):
            self._start(component)
        self._wait("kubelet", self._node_ready, "the node is ready", _NODE_SECONDS)

    def service_url(self, namespace: str, service: str, port: int) -> str:
        """The cluster address of the Service, to which the host has a route."""
        from kubernetes import client

        found = client.CoreV1Api(self.api).read_namespaced_service(service, namespace)
        return f"http://{found.spec.cluster_ip}:{port}"

    def restart_kubelet(self) -> None:
        """See `Cluster`."""
        self._end("kubelet", signal.SIGTERM)
        before = datetime.now(UTC)
        self._start("kubelet")
        self._wait(
            "kubelet",
            lambda: self._heartbeat() > before and self._node_ready(),
            "the node is ready again",
            _NODE_SECONDS,
        )

    def kill_node_agent(self) -> None:
        """See `Cluster`."""
        self._end("kubelet", signal.SIGKILL)

    def restart_api_server(self) -> None:
        """See `Cluster`."""
        self._end("kube-apiserver", signal.SIGTERM)
        self._start("kube-apiserver")
        self._wait_for_api_server()

    def logs(self, component: str) -> Path:
        """See `Cluster`."""
        return self.slot.logs / f"{component}.log"

    def heal(self) -> None:
        """See `Cluster`."""
        ended = self._machine.ended()
        for component in (*CONTROL_PLANE, *NODE):
            if component in ended:
                self._start(component)
                self._wait_for_api_server()

    def _start(self, component: str) -> None:
        self._machine.start_component(component, self._components.commands[component])

    def _end(self, component: str, number: signal.Signals) -> None:
        if component not in self._machine.ended():
            self._machine.stop_component(component, number, _GRACE_SECONDS)

    def _wait(
        self, component: str, condition: Callable[[], object], what: str, seconds: float
    ) -> None:
        def alive_and_so() -> object:
            for name, status in self._machine.ended().items():
                if name == component:
                    raise TransientError(
                        f"{component} ended with status {status} before {what}",
                        hint=f"read {self.logs(component)}",
                        subject=component,
                    )
            return condition()

        until(alive_and_so, what, seconds, hint=f"read {self.logs(component)}")

    def _wait_for_api_server(self) -> None:
        def ready() -> bool:
            # Raises unless the status is 200.
            self.api.call_api("/readyz", "GET", response_types_map={}, _request_timeout=5)
            return True

        self._wait("kube-apiserver", ready, "the API server is ready", _API_SECONDS)

    def _node_ready(self) -> bool:
        from kubernetes import client

        node = client.CoreV1Api(self.api).read_node(self.slot.name)
        return any(one.type == "Ready" and one.status == "True" for one in node.status.conditions)

    def _heartbeat(self) -> datetime:
        from kubernetes import client

        leases = client.CoordinationV1Api(self.api)
        lease = leases.read_namespaced_lease(self.slot.name, "kube-node-lease")
        renewed: datetime = lease.spec.renew_time
        return renewed


@contextmanager
def own_cluster(say: Callable[[str], None]) -> Iterator[OwnCluster]:
    """Starts a cluster; at the end, or when this process is killed, nothing of it runs on.

    Args:
        say: Told what takes long.

    Raises:
        TerminalError: Something that it needs is missing.
        TransientError: It did not start in time; a log is named.
    """
    with ExitStack() as stack:
        slot = stack.enter_context(free_slot())
        programs = binaries(say)
        images = containerd.cached_root(programs / "pause", say)
        slot.folder.mkdir(parents=True)
        stack.callback(slot.sweep)
        say(f"starting Kubernetes at {slot.node}; its logs are in {slot.logs}")
        machine = Machine(slot.folder, slot.logs).start()
        stack.callback(machine.stop)
        _connect(machine, slot)
        containerd.copy_root(images, slot.folder / "containerd")
        containerd.start(machine, slot.folder / "containerd")
        containerd.add_slipway(machine, images)
        cluster = OwnCluster(slot, machine, programs)
        cluster.start()
        yield cluster


def _connect(machine: Machine, slot: Slot) -> None:
    """A cable between the host and the machine; it goes with the machine's network."""
    for command in (
        f"link add {slot.name} type veth peer name eth0 netns {machine.pid}",
        f"address add {slot.host}/24 dev {slot.name}",
        f"link set {slot.name} up",
    ):
        subprocess.run(["ip", *command.split()], check=True, capture_output=True)
    for command in (
        f"address add {slot.node}/24 dev eth0",
        "link set eth0 up",
        f"route add default via {slot.host}",
    ):
        machine.run("ip", *command.split())
    machine.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    route = ["ip", "route", "add", slot.network, "via", slot.node]
    subprocess.run(route, check=True, capture_output=True)
