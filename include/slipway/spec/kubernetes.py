"""Where and how the model server runs on Kubernetes, and the Jobs of a build."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    StringConstraints,
    model_validator,
)

from slipway.errors import TerminalError
from slipway.serving.serve_config.table import parse_release
from slipway.spec.base import SpecModel

DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""A name as RFC 1123 has it: of a namespace, a Service, a Secret."""

Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")]
"""A quantity of Kubernetes: 500m of a core, 2Gi of memory."""

_UNITS = {
    "m": Decimal("0.001"),
    "": Decimal(1),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGT", start=1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGT", start=1)},
}


def _amount(quantity: str) -> Decimal:
    number = quantity.rstrip("mkKMGTi")
    return Decimal(number) * _UNITS[quantity.removeprefix(number)]


def _limits_something(quantity: str) -> str:
    if not _amount(quantity):
        msg = "0 would be no limit at all; give more"
        raise ValueError(msg)
    return quantity


Cores = Annotated[
    str,
    StringConstraints(pattern=r"^([0-9]+(\.[0-9]{1,3})?|[0-9]+m)$"),
    AfterValidator(_limits_something),
]
"""Cores of a CPU, to the thousandth: 2, 0.5, 500m."""

Memory = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]+(k|M|G|T|Ki|Mi|Gi|Ti)$"),
    AfterValidator(_limits_something),
]
"""Memory: 512Mi, 2Gi."""

LabelName = Annotated[
    str,
    StringConstraints(
        pattern=r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*/)?"
        r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"
    ),
]
"""The name of a label or annotation: kubernetes.io/arch, pool."""

LabelValue = Annotated[
    str, StringConstraints(pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$")
]
"""The value of a label."""

VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""The name of an environment variable."""

_SECRET_VARIABLE = re.compile(r"ACCESS_KEY_ID|SECRET|PASSWORD|TOKEN|CREDENTIAL|PRIVATE_KEY")
# Of these names the value says where something is.
_FILE_VARIABLE = re.compile(r"_(FILE|URI|URL|PATH|CREDENTIALS)$")

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
    if "@" not in image and not any(letter.isdigit() for letter in tag):
        msg = f"{field}: {image} is not pinned; name a version's tag or a digest"
        raise ValueError(msg)


class ResourcesSpec(SpecModel):
    """The limits of a container; all of them are reserved, unless a request says less."""

    cpu: Cores = Field("1", description="Cores.")
    memory: Memory = Field("2Gi", description="Memory.")
    cpu_request: Cores | None = Field(
        None, description="Cores that are reserved on a node; default: all of `cpu`."
    )
    memory_request: Memory | None = Field(
        None, description="Memory that is reserved on a node; default: all of `memory`."
    )
    gpus: NonNegativeInt = Field(0, description="NVIDIA GPUs.")

    @model_validator(mode="after")
    def _requests_are_within_limits(self) -> ResourcesSpec:
        for name, asked, limit in (
            ("cpu", self.cpu_request, self.cpu),
            ("memory", self.memory_request, self.memory),
        ):
            if asked is not None and _amount(asked) > _amount(limit):
                msg = f"{name}_request {asked} is more than {name} {limit}, which is the limit"
                raise ValueError(msg)
        return self


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
    service_account_annotations: dict[LabelName, str] = Field(
        default_factory=dict,
        description="Annotations of the model's own service account: workload identity, such as "
        "eks.amazonaws.com/role-arn or iam.gke.io/gcp-service-account.",
    )
    environment: dict[VariableName, str] = Field(
        default_factory=dict,
        description="For whoever reads the bucket: AWS_ENDPOINT_URL, AWS_REGION; no secrets.",
    )
    node_selector: dict[LabelName, LabelValue] = Field(
        default_factory=dict, description="Nodes to run on."
    )
    batching: bool = Field(False, description="Whether the server collects requests in batches.")
    pod_monitor: bool = Field(
        False, description="Also a PodMonitor, where Prometheus' operator is installed."
    )
    network_policy: bool = Field(True, description="Admit nothing but the server's own ports.")
    drain_seconds: PositiveInt = Field(
        10, le=3600, description="How long a pod still answers after it left the Service."
    )
    available_within_seconds: PositiveInt = Field(
        300, description="How long a Deployment may take until its pods are ready."
    )

    @property
    def serving_tag(self) -> str:
        """The image's tag, if it is a version of TensorFlow Serving; otherwise ""."""
        tag = self.image.partition("@")[0].rpartition("/")[2].partition(":")[2]
        try:
            parse_release(tag)
        except TerminalError:
            return ""
        return tag

    @model_validator(mode="after")
    def _fits_together(self) -> KubernetesSpec:
        if self.service.node_port is not None and self.service.type == "ClusterIP":
            msg = "service.node_port needs service.type NodePort or LoadBalancer"
            raise ValueError(msg)
        for name, image in (("image", self.image), ("sync_image", self.sync_image)):
            require_pinned(name, image)
        return self

    @model_validator(mode="after")
    def _scales_within_its_limits(self) -> KubernetesSpec:
        most = self.autoscaling.max_replicas if self.autoscaling else self.replicas
        if self.replicas > most and "replicas" in self.model_fields_set:
            msg = f"replicas {self.replicas} is more than autoscaling.max_replicas {most}"
            raise ValueError(msg)
        self.__dict__["replicas"] = min(self.replicas, most)
        return self

    @model_validator(mode="after")
    def _keeps_no_secret(self) -> KubernetesSpec:
        for name in self.environment:
            if _SECRET_VARIABLE.search(name.upper()) and not _FILE_VARIABLE.search(name.upper()):
                msg = f"environment: {name} is a secret; put it into the Secret that "
                raise ValueError(msg + "credentials_secret names")
        return self

    @model_validator(mode="after")
    def _identity_is_its_own(self) -> KubernetesSpec:
        if self.service_account is not None and self.service_account_annotations:
            msg = "service_account_annotations are for the model's own service account; annotate "
            raise ValueError(msg + f"{self.service_account} where it is made, or leave it out")
        return self

    @model_validator(mode="after")
    def _image_can_use_gpus(self) -> KubernetesSpec:
        repository, _, tag = self.image.partition("@")[0].rpartition(":")
        if self.resources.gpus and repository == "tensorflow/serving" and "gpu" not in tag:
            msg = f"resources.gpus: {self.image} serves on the CPU alone; name {tag}-gpu"
            raise ValueError(msg)
        return self
