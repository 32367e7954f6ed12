"""Where the winner goes: the bucket, the server and the checks that decide a rollout."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from slipway.spec.base import Name, Ratio, SpecModel
from slipway.spec.kubernetes import DnsLabel, KubernetesSpec
from slipway.spec.promise import Promise, derive


class PublishSpec(SpecModel):
    """The bucket that model servers follow."""

    base_uri: str = Field(
        pattern=r"^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?"
        r"|gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/.*)?|file:///.*)$",
        description="Bucket and optional prefix, s3://bucket/prefix or gs://bucket/prefix, or a "
        "folder, file:///folder. Versions appear under <base_uri>/<model>/<version>/.",
    )
    connection: str = Field(
        "aws_default",
        description="Airflow connection with the credentials; google_cloud_default for gs://, if "
        "not given.",
    )
    keep_versions: PositiveInt = Field(
        5, description="How many versions stay; those that a channel points to always do."
    )

    @model_validator(mode="before")
    @classmethod
    def _connection_follows_the_cloud(cls, given: Any) -> Any:
        if isinstance(given, dict) and str(given.get("base_uri")).startswith("gs://"):
            return {"connection": "google_cloud_default", **given}
        return given


class ServeSpec(SpecModel):
    """The model server that follows the bucket."""

    connection: str = Field(
        "model_server_default",
        description="Airflow connection: host and port of the REST API; its extra field "
        "model_config_file names the server's model config file.",
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


class ProbeSpec(SpecModel):
    """Requests that Slipway itself sends to the canary."""

    requests: NonNegativeInt = Field(200, description="How many; 0 sends golden requests only.")
    rate_per_second: PositiveFloat = Field(10.0, description="Requests a second.")
    timeout_seconds: PositiveFloat = Field(5.0, description="Time limit of one request.")
    tolerance: NonNegativeFloat = Field(
        1e-3, description="Largest absolute difference from the golden answers."
    )


class ErrorRatioCheck(SpecModel):
    """Share of requests that did not end with status OK."""

    largest: Ratio = Field(description="Largest share of failed requests in the window.")
    caught: Ratio | None = Field(
        None,
        description="Share of failed requests that must be caught: between `largest` and this a "
        "sequential test decides, which a few unlucky requests cannot fool. null: `largest` alone.",
    )
    largest_increase: Ratio | None = Field(
        None,
        description="Largest difference from stable's share in the same window; needs a strategy "
        "with pods of its own.",
    )
    risk: float = Field(
        0.001, gt=0, lt=0.5, description="Probability of a false alarm, and of a miss, at most."
    )

    @model_validator(mode="after")
    def _leaves_room(self) -> ErrorRatioCheck:
        if self.caught is not None and not 0 < self.largest < self.caught < 1:
            msg = "caught must be above largest, both between 0 and 1"
            raise ValueError(msg)
        return self


class LatencyCheck(SpecModel):
    """A quantile of the server's request latency."""

    percentile: float = Field(99.0, gt=0, lt=100, description="For example 99 for p99.")
    largest_ms: PositiveFloat = Field(description="Milliseconds.")
    largest_factor: PositiveFloat | None = Field(
        None,
        description="How many times stable's quantile in the same window it may be; needs a "
        "strategy with pods of its own.",
    )


class LoadFailureCheck(SpecModel):
    """Failed attempts to load the version."""

    largest: NonNegativeInt = Field(0, description="Failed loads allowed in the window.")


class SaturationCheck(SpecModel):
    """Use of the CPU limit by the canary's pods, from cAdvisor's metrics."""

    largest: float = Field(0.9, gt=0, description="Share of the limit that the busiest pod uses.")


class PromQLCheck(SpecModel):
    """A query of the user's own.

    {model}, {version}, {stable_version} and {window} are filled in; one that compares with a
    stable version is left out while there is none.
    """

    name: Name = Field(description="Name of the check in the evidence.")
    query: str = Field(min_length=1, description="PromQL that gives one number.")
    largest: float | None = Field(None, description="Largest healthy value.")
    smallest: float | None = Field(None, description="Smallest healthy value.")

    @model_validator(mode="after")
    def _says_something(self) -> PromQLCheck:
        if self.largest is None and self.smallest is None:
            msg = "give at least one of largest and smallest"
            raise ValueError(msg)
        return self


class HealthChecks(SpecModel):
    """The checks that decide a rollout; all must hold."""

    error_ratio: ErrorRatioCheck | None = Field(None, description="Limit on failed requests.")
    latency: tuple[LatencyCheck, ...] = Field((), description="Limits on latency quantiles.")
    load_failures: LoadFailureCheck | None = Field(None, description="Limit on failed loads.")
    saturation: SaturationCheck | None = Field(
        None, description="Limit on the use of CPU; needs a strategy with pods of its own."
    )
    promql: tuple[PromQLCheck, ...] = Field((), description="Checks of the user's own.")

    @model_validator(mode="after")
    def _checks_something(self) -> HealthChecks:
        if not (self.error_ratio or self.latency or self.load_failures or self.promql):
            msg = "give at least one check"
            raise ValueError(msg)
        return self


class HealthPolicy(SpecModel):
    """When a rollout counts as proven."""

    connection: str = Field("prometheus_default", description="Airflow connection of Prometheus.")
    window_seconds: PositiveInt = Field(60, description="Window that every query looks back over.")
    interval_seconds: PositiveInt = Field(5, description="Seconds between two looks.")
    consecutive: PositiveInt = Field(
        2, description="Looks in a row with the same verdict before it is final."
    )
    minimum_requests: PositiveInt = Field(
        50, description="With fewer requests in the window the verdict is inconclusive."
    )
    timeout_seconds: PositiveInt = Field(
        180, description="Without a final verdict by then, the last one counts."
    )
    checks: HealthChecks = Field(
        default_factory=lambda: HealthChecks(load_failures=LoadFailureCheck(largest=0)),
        description="The checks that decide.",
    )
    promise: Promise | None = Field(
        None,
        description="What must be caught by when. The fields above follow from it unless given, "
        "and a spec that cannot keep it is refused.",
    )
    scrape_interval_seconds: PositiveFloat = Field(
        15.0, description="How often Prometheus scrapes the pods; for the promise."
    )
    requests_per_second: PositiveFloat = Field(
        10.0, description="Requests that reach the canary, the probe's too; for the promise."
    )
    version_label: str = Field(
        "slipway_dev_version",
        pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$",
        description="Label by which Prometheus knows the version of a pod.",
    )
    on_inconclusive: Literal["rollback", "wait"] = Field(
        "rollback",
        description="What follows when it cannot be told: rollback, or wait for another "
        "timeout_seconds first. Never a promotion.",
    )
    on_error: Literal["rollback", "wait"] = Field(
        "rollback", description="The same when Prometheus could not be asked."
    )

    @model_validator(mode="after")
    def _keeps_its_promise(self) -> HealthPolicy:
        if self.promise is None:
            return self
        given = self.model_fields_set
        looks = derive(
            self.promise,
            scrape_interval_seconds=self.scrape_interval_seconds,
            requests_per_second=self.requests_per_second,
            interval_seconds=self.interval_seconds if "interval_seconds" in given else None,
            consecutive=self.consecutive if "consecutive" in given else None,
        )
        for name, value in vars(looks).items():
            if name not in given:
                # Frozen for everybody else; the value is what the given fields mean.
                self.__dict__[name] = value
        if self.timeout_seconds < self.promise.within_seconds:
            msg = f"timeout_seconds {self.timeout_seconds} ends before promise.within_seconds"
            raise ValueError(msg)
        if self.window_seconds < self.timeout_seconds:
            msg = (
                f"window_seconds {self.window_seconds} forgets requests before timeout_seconds "
                f"{self.timeout_seconds}; the promise needs all of them"
            )
            raise ValueError(msg)
        if self.minimum_requests > looks.minimum_requests:
            msg = f"the promise needs minimum_requests of at most {looks.minimum_requests}"
            raise ValueError(msg)
        self.__dict__["checks"] = self.checks.model_copy(update={"error_ratio": self._errors()})
        return self

    def _errors(self) -> ErrorRatioCheck:
        promise, given = self.promise, self.checks.error_ratio
        if promise is None:
            raise AssertionError
        meant = {
            "largest": promise.tolerated,
            "caught": promise.error_ratio,
            "risk": promise.risk,
        }
        for name, value in meant.items():
            said = getattr(given, name, None)
            if given is not None and name in given.model_fields_set and said != value:
                msg = f"checks.error_ratio.{name} {said} contradicts the promise, {value:g}"
                raise ValueError(msg)
        increase = given.largest_increase if given else None
        return ErrorRatioCheck.model_validate({**meant, "largest_increase": increase})

    @model_validator(mode="after")
    def _can_be_kept(self) -> HealthPolicy:
        needed = self.interval_seconds * self.consecutive
        if self.timeout_seconds < needed:
            msg = (
                f"timeout_seconds {self.timeout_seconds} leaves no room for {self.consecutive} "
                f"looks {self.interval_seconds} s apart; give at least {needed}"
            )
            raise ValueError(msg)
        return self


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
