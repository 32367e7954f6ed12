"""What tells the pods of one version from pods that serve one version after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slipway.errors import TerminalError
from slipway.kubernetes import names
from slipway.kubernetes.manifests.base import labels_of
from slipway.kubernetes.spec import kubernetes_of
from slipway.rollout import kserve
from slipway.rollout.config_file import Serving
from slipway.serving.serve_config.plan import Options, Plan, plan
from slipway.serving.serve_config.table import DEFAULT_VERSION

if TYPE_CHECKING:
    from slipway.spec.kubernetes import KubernetesSpec
    from slipway.spec.model import ModelSpec


@dataclass(frozen=True)
class ServedFleet:
    """The pods of one Deployment, and what their servers are to do.

    Attributes:
        spec: The model's spec.
        name: Of the Deployment.
        serving: Of the config file that the servers start with.
        plan: How a server follows the bucket.
        version: The only version that these pods ever serve; None: they follow the bucket.
        digest: Of that version's content; empty if it is not known.
    """

    spec: ModelSpec
    name: str
    serving: Serving
    plan: Plan
    version: int | None = None
    digest: str = ""

    @property
    def kubernetes(self) -> KubernetesSpec:
        """Where and how they run."""
        return kubernetes_of(self.spec)

    @property
    def is_direct(self) -> bool:
        """Whether the server itself reads the bucket."""
        return self.plan.reading.way == "direct"

    @property
    def is_triton(self) -> bool:
        """Whether Triton serves it, and not TensorFlow Serving."""
        return self.spec.serve.server == "triton"

    @property
    def labels(self) -> dict[str, str]:
        """Of the Deployment and what belongs to it."""
        return labels_of(self.spec.model, self.version)

    @property
    def pod_labels(self) -> dict[str, str]:
        """Of each pod; a Job of the same model lacks the component."""
        own = {names.INSTANCE_LABEL: self.name, names.COMPONENT_LABEL: names.SERVER}
        return {**self.labels, **own}

    @property
    def selector(self) -> dict[str, str]:
        """What finds these pods and no others."""
        found = {names.MODEL_LABEL: self.spec.model}
        if self.version is None:
            return {**found, names.INSTANCE_LABEL: self.name}
        return {**found, names.VERSION_LABEL: str(self.version)}

    @property
    def status_path(self) -> str:
        """Answers 200 when what this pod is for is loaded, and only then.

        The model's status itself is no measure: it is 200 also while a version loads, and after it
        failed to. Metadata are taken from a loaded model. Pods that follow the bucket are ready
        with any version: they listen once all that they started with are loaded, and before the
        first promotion there is none but the canary.
        """
        if self.is_triton:
            return kserve.ready_path(self.spec.model, self.version or 0)
        which = "" if self.version is None else f"/versions/{self.version}"
        return f"/v1/models/{self.spec.model}{which}/metadata"


def version_fleet(spec: ModelSpec, version: int, digest: str) -> ServedFleet:
    """The pods of one version.

    Raises:
        TerminalError: The spec has no serve.kubernetes, or publishes where pods cannot read.
    """
    name = names.version_service(spec.model, version)
    serving = Serving(frozenset({version}))
    return ServedFleet(spec, name, serving, server_plan(spec), version, digest)


def in_place_fleet(spec: ModelSpec, serving: Serving) -> ServedFleet:
    """The pods that serve one version after the other.

    Raises:
        TerminalError: As `version_fleet`.
    """
    return ServedFleet(spec, names.service(spec.model), serving, server_plan(spec))


def server_plan(spec: ModelSpec) -> Plan:
    """How a server in a pod follows the bucket: gs:// itself, S3 through a folder of the pod.

    Triton would read both itself, but needs a config that names the pod's version.
    """
    kubernetes = kubernetes_of(spec)
    if spec.publish.base_uri.startswith("file://"):
        raise TerminalError(
            f"pods cannot read {spec.publish.base_uri}: it is a folder of this machine",
            hint="publish to s3:// or gs://",
            subject="publish.base_uri",
        )
    triton = spec.serve.server == "triton"
    options = Options(
        server_version=spec.serve.server_version or DEFAULT_VERSION,
        credentials="platform",
        batching=kubernetes.batching,
        sync=triton or spec.serve.reads == "sync" or spec.publish.base_uri.startswith("s3://"),
        prefer_tflite_model=spec.serve.prefer_tflite_model,
    )
    return plan(spec.model, spec.publish.base_uri, options)
