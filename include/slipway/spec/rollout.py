"""Where the winner goes: the bucket, the server and the strategy."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from slipway.errors import TerminalError
from slipway.serving.serve_config.table import DEFAULT_VERSION, parse_release
from slipway.spec.base import Name, SpecModel
from slipway.spec.health import HealthPolicy
from slipway.spec.kubernetes import DnsLabel, KubernetesSpec

BUCKET_PATTERN = (
    r"^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?"
    r"|gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/.*)?|file:///.*)$"
)


class PublishSpec(SpecModel):
    """The bucket that model servers follow."""

    base_uri: str = Field(
        pattern=BUCKET_PATTERN,
        description="Bucket and optional prefix, s3://bucket/prefix or gs://bucket/prefix, or a "
        "folder, file:///folder. Versions appear under <base_uri>/<model>/<version>/.",
    )
    connection: str = Field(
        "aws_default",
        description="Airflow connection with the credentials; google_cloud_default for gs://, if "
        "not given.",
    )
    keep_versions: PositiveInt = Field(
        5,
        description="How many versions stay; those that a channel points to always do, and "
        "their fallbacks.",
    )
    approval: bool = Field(
        False,
        description="Whether a person must approve the winner, in Airflow, before it is published. "
        "Whoever runs a build on the command line has approved it.",
    )

    @model_validator(mode="before")
    @classmethod
    def _connection_follows_the_cloud(cls, given: Any) -> Any:
        if isinstance(given, dict) and str(given.get("base_uri")).startswith("gs://"):
            return {"connection": "google_cloud_default", **given}
        return given


ModelServer = Literal["tensorflow_serving", "triton"]

# What each can load. Triton reads SavedModels too, by a backend that its newer images lack; it is
# named here for what is made for it.
SERVED_KINDS: dict[ModelServer, frozenset[str]] = {
    "tensorflow_serving": frozenset({"keras", "saved_model", "tflite"}),
    "triton": frozenset({"onnx", "tensorrt"}),
}


# By what file each knows a version.
SERVED_FILES: dict[ModelServer, frozenset[str]] = {
    "tensorflow_serving": frozenset({"saved_model.pb", "model.tflite"}),
    "triton": frozenset({"model.onnx", "model.plan"}),
}


class ServeSpec(SpecModel):
    """The model server that follows the bucket."""

    connection: str = Field(
        "model_server_default",
        description="Airflow connection: host and port of the REST API; its extra field "
        "model_config_file names the server's model config file.",
    )
    server: ModelServer = Field(
        "tensorflow_serving", description="The model server that serves the model."
    )
    version: str | None = Field(
        None,
        description="Its version, as its image's tag. Null: that of the image of kubernetes, or "
        f"of TensorFlow Serving {DEFAULT_VERSION}.",
    )
    reads: Literal["direct", "sync"] | None = Field(
        None,
        description="How the server gets at the bucket: direct, by itself, or sync, by a folder "
        "that `slipway sync` keeps in step. Null: as its version can.",
    )
    compute_capability: str | None = Field(
        None,
        pattern=r"^[0-9]+\.[0-9]+$",
        description="Compute capability of the servers' GPUs, such as 9.0: a version with engines "
        "for another is not rolled out.",
    )
    tensorrt: str | None = Field(
        None,
        pattern=r"^[0-9]+(\.[0-9]+)*$",
        description="Release of TensorRT in the server, such as 10.16.1: a version with engines "
        "of another is not rolled out; null: not checked.",
    )
    fallback: Name | None = Field(
        None,
        description="Variant that is published before a winner with TensorRT engines, and rolled "
        "out in its place where the engines do not fit.",
    )
    prefer_tflite_model: bool = Field(
        False,
        description="Whether the server runs with --prefer_tflite_model. Only then can a TFLite "
        "variant win.",
    )
    available_within_seconds: PositiveFloat = Field(
        60.0, description="How long a server may take to make a version AVAILABLE."
    )
    kubernetes: KubernetesSpec | None = Field(
        None, description="Run the server on Kubernetes; null: the server of `connection`."
    )

    @field_validator("version")
    @classmethod
    def _is_a_version(cls, version: str | None) -> str | None:
        if version is not None:
            try:
                parse_release(version)
            except TerminalError as error:
                raise ValueError(error.message) from None
        return version

    @property
    def server_version(self) -> str:
        """Version of TensorFlow Serving; "" if the server is another."""
        if self.server != "tensorflow_serving":
            return ""
        tag = self.kubernetes.serving_tag if self.kubernetes else ""
        return self.version or tag or DEFAULT_VERSION

    @model_validator(mode="after")
    def _triton_is_told_what_it_knows(self) -> ServeSpec:
        if self.server != "triton":
            return self
        if self.prefer_tflite_model:
            msg = "prefer_tflite_model: Triton loads no TFLite; leave it out"
            raise ValueError(msg)
        if self.kubernetes is None:
            return self
        if self.kubernetes.image.startswith("tensorflow/serving"):
            msg = (
                f"kubernetes.image: {self.kubernetes.image} is not Triton; name an image of Triton"
            )
            raise ValueError(msg)
        if self.kubernetes.batching:
            msg = "kubernetes.batching: the published config.pbtxt says how Triton batches requests"
            raise ValueError(msg)
        return self


class ProbeSpec(SpecModel):
    """Requests that Slipway itself sends to the canary."""

    requests: NonNegativeInt = Field(
        200,
        description="How many besides the golden ones; default: at least as many as the health "
        "gate needs to pass a healthy canary that nobody else asks.",
    )
    rate_per_second: PositiveFloat = Field(10.0, description="Requests a second.")
    timeout_seconds: PositiveFloat = Field(5.0, description="Time limit of one request.")
    tolerance: NonNegativeFloat = Field(
        1e-3, description="Largest absolute difference from the golden answers."
    )


class CanaryStep(SpecModel):
    """A share of the traffic that the canary gets until it is judged healthy again."""

    share: float = Field(gt=0, lt=1, description="Share of all requests, between 0 and 1.")
    approval: bool = Field(False, description="Whether a person must approve before this step.")


class CanarySpec(SpecModel):
    """How a canary takes over, step by step."""

    steps: tuple[CanaryStep, ...] = Field(
        (CanaryStep(share=0.1), CanaryStep(share=0.5)),
        min_length=1,
        description="Shares, each larger than the one before; promotion follows the last.",
    )
    routing: Literal["replicas", "gateway", "istio"] = Field(
        "replicas",
        description="replicas: by the number of pods behind one Service; gateway: by weights of an "
        "HTTPRoute of the Gateway API; istio: by weights of a VirtualService.",
    )
    route: DnsLabel | None = Field(
        None, description="The HTTPRoute or VirtualService, which must exist; for its weights."
    )

    @model_validator(mode="after")
    def _grows(self) -> CanarySpec:
        shares = [step.share for step in self.steps]
        if shares != sorted(set(shares)):
            msg = "each step's share must be larger than the one before"
            raise ValueError(msg)
        if (self.route is None) != (self.routing == "replicas"):
            msg = "route names the HTTPRoute or VirtualService of routing gateway or istio"
            raise ValueError(msg)
        return self


class RolloutSpec(SpecModel):
    """How a published version takes over."""

    strategy: Literal["in_place", "canary", "blue_green"] = Field(
        "in_place",
        description="in_place: the running server loads the version beside stable under the label "
        "canary, and the label stable moves when it is proven. On Kubernetes also canary: pods of "
        "its own and a growing share of the traffic; blue_green: pods of its own, all traffic at "
        "once when it is proven.",
    )
    canary: CanarySpec = Field(
        default_factory=CanarySpec, description="The steps of the strategy canary."
    )
    approval: bool = Field(
        False, description="Whether a person must approve the promotion, in Airflow."
    )
    probe: ProbeSpec = Field(default_factory=ProbeSpec, description="Requests sent to the canary.")
    health: HealthPolicy = Field(description="When the canary counts as proven.")

    @model_validator(mode="after")
    def _probe_is_enough(self) -> RolloutSpec:
        if "requests" not in self.probe.model_fields_set:
            wanted = max(self.probe.requests, self.health.enough_requests)
            self.__dict__["probe"] = self.probe.model_copy(update={"requests": wanted})
        return self

    @model_validator(mode="after")
    def _route_is_used(self) -> RolloutSpec:
        if self.canary.route is not None and self.strategy != "canary":
            msg = (
                f"canary.route is set, but strategy {self.strategy} shares no requests by weights; "
                "use strategy canary, or leave it out"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _can_tell_versions_apart(self) -> RolloutSpec:
        if self.strategy != "in_place":
            return self
        checks, asked = self.health.checks, []
        if self.health.promise is not None:
            asked.append("health.promise")
        if checks.error_ratio is not None and checks.error_ratio.largest_increase is not None:
            asked.append("health.checks.error_ratio.largest_increase")
        if any(each.largest_factor is not None for each in checks.latency):
            asked.append("health.checks.latency.largest_factor")
        if checks.saturation is not None:
            asked.append("health.checks.saturation")
        if asked:
            msg = (
                f"{', '.join(asked)}: with strategy in_place both versions share one server, "
                "whose metrics do not tell them apart; use canary or blue_green"
            )
            raise ValueError(msg)
        return self
