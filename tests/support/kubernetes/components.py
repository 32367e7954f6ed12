"""Command lines and configurations of a cluster's components."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from support.kubernetes import containerd
from support.kubernetes.machine import cgroup_hierarchies

if TYPE_CHECKING:
    from pathlib import Path

    from support.kubernetes.identities import Identities
    from support.kubernetes.slots import Slot

API_PORT = 6443
_ETCD = "http://127.0.0.1:2379"
# In the order in which they are started.
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
NODE = ("kubelet", "kube-proxy")


class Components:
    """How each is started.

    Args:
        binaries: The folder of the programs.
        folder: For configurations and data.
        slot: The cluster's names and addresses.
        identities: Who is who.
    """

    def __init__(self, binaries: Path, folder: Path, slot: Slot, identities: Identities) -> None:
        self._binaries = binaries
        self._folder = folder
        self._slot = slot
        self._identities = identities
        self._tokens, self._tokens_public = identities.key_pair("tokens")
        self.commands = {
            "etcd": self._etcd(),
            "kube-apiserver": self._api_server(),
            "kube-controller-manager": self._controller_manager(),
            "kube-scheduler": self._scheduler(),
            "kubelet": self._kubelet(),
            "kube-proxy": self._proxy(),
        }

    def write_pod_network(self, folder: Path) -> None:
        """A bridge with the addresses of the pods; nothing is translated, the host has a route."""
        network = {
            "cniVersion": "0.4.0",
            "name": "pods",
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": "pods",
                    "isGateway": True,
                    "hairpinMode": True,
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": self._slot.pods}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                        "dataDir": str(self._folder / "addresses"),
                    },
                }
            ],
        }
        (folder / "pods.conflist").write_text(json.dumps(network))

    def _command(self, name: str, **flags: object) -> list[str]:
        given = [f"--{flag.replace('_', '-')}={value}" for flag, value in flags.items()]
        return [str(self._binaries / name), *given]

    def _etcd(self) -> list[str]:
        return self._command(
            "etcd",
            data_dir=self._folder / "etcd",
            listen_client_urls=_ETCD,
            advertise_client_urls=_ETCD,
            listen_peer_urls="http://127.0.0.1:2380",
            unsafe_no_fsync="true",  # its data need not outlive the machine
        )

    def _api_server(self) -> list[str]:
        names = [self._slot.node, self._slot.api_service, "127.0.0.1", "kubernetes.default.svc"]
        certificate, key = self._identities.server("kube-apiserver", names)
        client, client_key = self._identities.client("api-server", ["system:masters"])
        return self._command(
            "kube-apiserver",
            etcd_servers=_ETCD,
            secure_port=API_PORT,
            advertise_address=self._slot.node,
            tls_cert_file=certificate,
            tls_private_key_file=key,
            client_ca_file=self._identities.authority,
            kubelet_certificate_authority=self._identities.authority,
            kubelet_client_certificate=client,
            kubelet_client_key=client_key,
            kubelet_preferred_address_types="InternalIP",
            authorization_mode="Node,RBAC",
            enable_admission_plugins="NodeRestriction",
            service_cluster_ip_range=self._slot.services,
            service_account_issuer="https://kubernetes.default.svc",
            service_account_key_file=self._tokens_public,
            service_account_signing_key_file=self._tokens,
        )

    def _controller_manager(self) -> list[str]:
        return self._command(
            "kube-controller-manager",
            kubeconfig=self._identities.kubeconfig("system:kube-controller-manager"),
            bind_address="127.0.0.1",
            leader_elect="false",
            use_service_account_credentials="true",
            service_account_private_key_file=self._tokens,
            root_ca_file=self._identities.authority,
            flex_volume_plugin_dir=self._folder / "volume-plugins",
        )

    def _scheduler(self) -> list[str]:
        return self._command(
            "kube-scheduler",
            kubeconfig=self._identities.kubeconfig("system:kube-scheduler"),
            bind_address="127.0.0.1",
            leader_elect="false",
        )

    def _kubelet(self) -> list[str]:
        name = self._slot.name
        certificate, key = self._identities.server("kubelet", [self._slot.node, name])
        names = self._folder / "pods-resolv.conf"
        names.write_text(f"nameserver {self._slot.node}\n")
        config = {
            "kind": "KubeletConfiguration",
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self._identities.authority)},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(certificate),
            "tlsPrivateKeyFile": str(key),
            "containerRuntimeEndpoint": f"unix://{containerd.SOCKET}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{name}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "oomScoreAdj": 0,  # lowering it needs CAP_SYS_RESOURCE
            "protectKernelDefaults": True,
            "volumePluginDir": str(self._folder / "volume-plugins"),
            "podLogsDir": str(self._folder / "pod-logs"),
            # There is no DNS in this cluster. Nothing listens here, and that is answered at once.
            "clusterDNS": [self._slot.node],
            "clusterDomain": "cluster.local",
            "resolvConf": str(names),
            # How full the disk is, is not this cluster's business.
            "evictionHard": {"memory.available": "100Mi"},
            "imageGCHighThresholdPercent": 100,
            "registerWithTaints": [],
        }
        return self._command(
            "kubelet",
            config=self._written("kubelet", config),
            kubeconfig=self._identities.kubeconfig(f"system:node:{name}", ["system:nodes"]),
            root_dir=self._folder / "kubelet",
            hostname_override=name,
            node_ip=self._slot.node,
        )

    def _proxy(self) -> list[str]:
        kubeconfig = self._identities.kubeconfig("system:kube-proxy")
        config = {
            "kind": "KubeProxyConfiguration",
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "clientConnection": {"kubeconfig": str(kubeconfig)},
            "mode": "nftables",
            "clusterCIDR": self._slot.pods,
            "hostnameOverride": self._slot.name,
            "oomScoreAdj": 0,
            # Limits of the whole machine, which only the host's own network may set.
            "conntrack": {"maxPerCore": 0, "min": 0},
        }
        return self._command("kube-proxy", config=self._written("kube-proxy", config))

    def _written(self, name: str, config: dict[str, Any]) -> Path:
        file = self._folder / f"{name}.json"
        file.write_text(json.dumps(config, indent=2))
        return file


def make_cgroups(name: str) -> None:
    """The kubelet wants the root of its cgroups to be there."""
    for hierarchy in cgroup_hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)
