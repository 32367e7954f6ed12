"""When a rollout counts as proven: the checks, how they are looked at, and what is promised."""

from __future__ import annotations

from math import isclose
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from slipway.rollout.statistics import requests_to_pass
from slipway.spec.base import Name, Ratio, SpecModel
from slipway.spec.promise import Promise, derive


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
        10.0,
        description="Requests that reach the canary, the probe's too; the promise rests on it.",
    )
    version_label: str = Field(
        "slipway_dev_version",
        pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$",
        description="Label by which Prometheus knows the version of a pod.",
    )
    namespace_label: str | None = Field(
        "namespace",
        pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$",
        description="Label by which Prometheus knows the namespace of a pod, for models of one "
        "name in two namespaces; null: it has none.",
    )
    on_inconclusive: Literal["rollback", "wait"] = Field(
        "rollback",
        description="What follows when it cannot be told: rollback, or wait for another "
        "timeout_seconds first. Never a promotion.",
    )
    on_error: Literal["rollback", "wait"] = Field(
        "rollback", description="The same when Prometheus could not be asked."
    )

    @property
    def enough_requests(self) -> int:
        """Requests of its own after which a healthy canary passes, in 99 of 100 cases.

        With `caught`, or a promise, a healthy one is one that fails at most `largest`.
        """
        errors = self.checks.error_ratio
        if errors is None or errors.caught is None:
            return self.minimum_requests
        needed = requests_to_pass(tolerated=errors.largest, caught=errors.caught, risk=errors.risk)
        return max(self.minimum_requests, needed)

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
            own = given is not None and name in given.model_fields_set
            if own and not (said is not None and isclose(said, value)):
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
