"""What the servers of a rollout on a cluster have in common, whatever the strategy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from slipway.kubernetes.client import Cluster
from slipway.kubernetes.spec import kubernetes_of, served_spec
from slipway.serving.serve_config.plan import REST_PORT

if TYPE_CHECKING:
    from slipway.rollout.endpoint import Endpoint
    from slipway.rollout.session import Rollout
    from slipway.spec.kubernetes import KubernetesSpec
    from slipway.spec.model import ModelSpec


@dataclass(frozen=True)
class ClusterServers:
    """One model on one cluster.

    Attributes:
        rollout: The rollout.
        spec: What the manifests are made from.
        cluster: Where.
    """

    rollout: Rollout
    spec: ModelSpec
    cluster: Cluster

    @classmethod
    def of(cls, rollout: Rollout) -> Self:
        """As the rollout's spec and target say."""
        return cls(rollout, served_spec(rollout), Cluster.connect(rollout.target.environ))

    @property
    def kubernetes(self) -> KubernetesSpec:
        """Where and how the model server runs."""
        return kubernetes_of(self.spec)

    def service_endpoint(self, service: str) -> Endpoint:
        """The REST API of a Service, through the API server."""
        return self.cluster.http(self.kubernetes.namespace, f"services/{service}", REST_PORT)
