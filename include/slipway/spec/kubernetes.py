"""Where and how the model server runs on Kubernetes, and the Jobs of a build."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, StringConstraints, model_validator

from slipway.spec.base import SpecModel

DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""A name as RFC 1123 has it: of a namespace, a Service, a Secret."""

Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")]
"""A quantity of Kubernetes: 500m of a core, 2Gi of memory."""

Image = Annotated[
    str,
    StringConstraints(
        pattern=r"^[^\s@:]+(:[0-9]+/[^\s@:]+)?(:[\w][\w.-]*)?(@sha256:[0-9a-f]{64})?$"
    ),
]
"""A container image with a tag or a digest."""


def require_pinned(field: str, image: str) -> None:
    """Refuses an image that may be another one tomorrow.

    Raises:
        ValueError: It has neither a digest nor the tag of a version.
    """
    tag = image.rpartition("/")[2].partition(":")[2]
    if "@" not in image and tag in {"", "latest"}:
        msg = f"{field}: {image} is not pinned; name a version's tag or a digest"
        raise ValueError(msg)


class ResourcesSpec(SpecModel):
    """What a container asks for, which is also its limit."""

    cpu: Quantity = Field("1", description="Cores.")
    memory: Quantity = Field("2Gi", description="Memory.")
    gpus: NonNegativeInt = Field(0, description="NVIDIA GPUs.")


class ServiceSpec(SpecModel):
    """The Service under which clients find the model."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(
        "ClusterIP", description="How the Service is reached."
    )
    node_port: int | None = Field(
        None, ge=30000, le=32767, description="The REST API's port on every node, for NodePort."
    )


class AutoscalingSpec(SpecModel):
    """A HorizontalPodAutoscaler; Slipway then leaves the replicas alone."""

    min_replicas: PositiveInt = Field(1, description="Fewest pods.")
    max_replicas: PositiveInt = Field(description="Most pods.")
    cpu_percent: PositiveInt = Field(70, description="Mean CPU use to aim at, in % of requests.")

    @model_validator(mode="after")
    def _in_order(self) -> AutoscalingSpec:
        if self.max_replicas < self.min_replicas:
            msg = f"max_replicas {self.max_replicas} is less than min_replicas {self.min_replicas}"
            raise ValueError(msg)
        return self


class KubernetesSpec(SpecModel):
    """The model server on a cluster."""

    connection: str = Field("kubernetes_default", description="Airflow connection of the cluster.")
    namespace: DnsLabel = Field(description="Namespace; it must exist.")
    image: Image = Field(
        "tensorflow/serving:2.20.0", description="The model server, by tag or digest; not latest."
    )
    sync_image: Image = Field(
        "slipway/sync:0.1.0",
        description="What brings versions from S3 into the pod; see docker/sync.Dockerfile.",
    )
    replicas: PositiveInt = Field(2, description="Pods of the stable version.")
    service: ServiceSpec = Field(default_factory=ServiceSpec, description="How clients reach it.")
    resources: ResourcesSpec = Field(
        default_factory=ResourcesSpec, description="Of the model server's container."
    )
    autoscaling: AutoscalingSpec | None = Field(None, description="Scale by load.")
    credentials_secret: DnsLabel | None = Field(
        None,
        description="Secret in the namespace: for S3 its keys are environment variables "
        "(AWS_ACCESS_KEY_ID, ...), for GCS its key service-account.json is the file.",
    )
    service_account: DnsLabel | None = Field(
        None, description="An existing service account; default: one of the model's own."
    )
    service_account_annotations: dict[str, str] = Field(
        default_factory=dict,
        description="Annotations of the model's own service account: workload identity, such as "
        "eks.amazonaws.com/role-arn or iam.gke.io/gcp-service-account.",
    )
    environment: dict[str, str] = Field(
        default_factory=dict,
        description="For whoever reads the bucket: AWS_ENDPOINT_URL, AWS_REGION; no secrets.",
    )
    node_selector: dict[str, str] = Field(default_factory=dict, description="Nodes to run on.")
    batching: bool = Field(False, description="Whether the server collects requests in batches.")
    pod_monitor: bool = Field(
        False, description="Also a PodMonitor, where Prometheus' operator is installed."
    )
    network_policy: bool = Field(True, description="Admit nothing but the server's own ports.")
    drain_seconds: PositiveInt = Field(
        10, description="How long a pod still answers after it left the Service."
    )
    available_within_seconds: PositiveInt = Field(
        300, description="How long a Deployment may take until its pods are ready."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> KubernetesSpec:
        if self.service.node_port is not None and self.service.type == "ClusterIP":
            msg = "service.node_port needs service.type NodePort or LoadBalancer"
            raise ValueError(msg)
        for name, image in (("image", self.image), ("sync_image", self.sync_image)):
            require_pinned(name, image)
        return self
