"""A whole rollout without Airflow."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from slipway.contracts import Contract
from slipway.errors import SlipwayError, TransientError
from slipway.health import Decision
from slipway.rollout.deploy import deploy
from slipway.rollout.preflight import preflight
from slipway.rollout.probe import probe
from slipway.rollout.prometheus import PrometheusClient
from slipway.rollout.promote import promote
from slipway.rollout.rollback import rollback
from slipway.rollout.session import Rollout, RolloutConfig, RolloutParameters
from slipway.rollout.shift import shift
from slipway.rollout.subject import Subject
from slipway.rollout.target import Target
from slipway.rollout.watch import watch
from slipway.serving.layout import resolve
from slipway.spec.plan import plan_rollout
from slipway.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from slipway.health import Look
    from slipway.spec.execution import ExecutionSpec
    from slipway.spec.model import ModelSpec

T = TypeVar("T")


class RolloutReport(Contract):
    """How a rollout ended.

    Attributes:
        model: The model's name.
        version: The version.
        digest: Of its content.
        promoted: Whether it is stable now.
        already_stable: Whether it was before.
        decision: What the health gate decided; None if it was not reached.
        reasons: Why it was rolled back.
        evidence: Address of the evidence.
    """

    model: str
    version: int
    digest: str
    promoted: bool
    already_stable: bool = False
    decision: Decision | None = None
    reasons: tuple[str, ...] = ()
    evidence: str


def roll_out(
    spec: ModelSpec,
    version: int,
    *,
    digest: str | None = None,
    rollout_id: str | None = None,
    allow_older: bool = False,
    target: Target | None = None,
    say: Callable[[str], None] = lambda _line: None,
) -> RolloutReport:
    """Preflight, deploy, probe, watch, shift and watch again, then promote or roll back.

    Whoever calls this has approved what the spec wants approved.

    Args:
        spec: The model's spec.
        version: A published version.
        digest: That it must have; default: as it is published.
        rollout_id: Names the rollout; default: from the clock.
        allow_older: Whether it may replace a newer stable version.
        target: The servers; default: from the environment.
        say: Told of everything that happens, a line each.

    Returns:
        The report; a version that was rolled back is a report too, not an error.

    Raises:
        SlipwayError: Preflight refused to begin, promote failed after the channel stable had
            moved, or rollback failed.
    """
    config = RolloutConfig(base_uri=spec.publish.base_uri, serve=spec.serve, rollout=spec.rollout)
    store = open_store(config.base_uri)
    parameters = RolloutParameters(
        version=version,
        digest=digest or resolve(store, spec.model, version).digest,
        rollout_id=rollout_id or f"cli__{datetime.now(UTC):%Y%m%dT%H%M%S.%f}",
        allow_older=allow_older,
    )
    servers = target or Target.from_environment()
    rollout = Rollout(spec.model, config, parameters, store, servers, say)
    shares = tuple(step.config["share"] for step in plan_rollout(spec) if step.step == "shift")
    return _Run(rollout, spec.execution, shares).run()


@dataclass
class _Run:
    rollout: Rollout
    execution: ExecutionSpec
    shares: tuple[float, ...]

    def run(self) -> RolloutReport:
        facts = self._patiently(preflight, self.rollout)
        self.rollout = self.rollout.of_version(facts["version"], facts["digest"])
        if facts["already_stable"]:
            self.rollout.say(f"{self.rollout.name} is stable already")
            self._patiently(deploy, self.rollout)
            return self._report(promoted=True, already_stable=True)
        try:
            self._patiently(deploy, self.rollout)
            metrics, _ = self._patiently(probe, self.rollout)
            decision = self._watch(metrics)
            for share in self.shares if decision.verdict == "healthy" else ():
                metrics, details = self._patiently(partial(shift, share=share), self.rollout)
                decision = self._watch(metrics, share=share, since=details.get("since"))
                if decision.verdict != "healthy":
                    break
        except SlipwayError as error:
            return self._withdraw(None, error.message)
        except BaseException:
            self._withdraw(None, "the rollout was interrupted")
            raise
        if decision.verdict != "healthy":
            return self._withdraw(decision, "")
        try:
            self._patiently(promote, self._with(decision, ""))
        except SlipwayError as error:
            if self.rollout.holds(self.rollout.channel("stable")):
                raise
            return self._withdraw(decision, error.message)
        return self._report(promoted=True, decision=decision)

    def _patiently(self, step: Callable[[Rollout], T], rollout: Rollout) -> T:
        for _ in range(self.execution.retries):
            try:
                return step(rollout)
            except TransientError as error:
                delay = self.execution.retry_delay_seconds
                rollout.say(f"trying again in {delay} s: {error.message}")
                time.sleep(delay)
        return step(rollout)

    def _watch(
        self, metrics: dict[str, float], *, share: float = 0.0, since: float | None = None
    ) -> Decision:
        """The verdict; without figures of a probe, of what Prometheus sees alone."""
        spec = self.rollout.config.rollout
        # With all requests at the canary, stable has none to be compared with.
        stable = self.rollout.channel("stable") if share < 1 else None
        subject = Subject.of(
            spec,
            self.rollout.config.serve,
            self.rollout.model,
            self.rollout.version,
            stable_version=stable.version if stable else None,
            since=since,
        )
        with PrometheusClient(self.rollout.target.prometheus_url) as prometheus:
            return watch(
                spec.health,
                subject,
                prometheus=prometheus,
                probe=metrics or None,
                on_look=self._show,
            )

    def _show(self, look: Look) -> None:
        values = ", ".join(
            f"{name} {'absent' if value is None else format(value, '.4g')}"
            for name, value in look.values.items()
        )
        self.rollout.say(f"{look.verdict}: {values}")

    def _withdraw(self, decision: Decision | None, reason: str) -> RolloutReport:
        facts = self._patiently(rollback, self._with(decision, reason))
        return self._report(promoted=False, decision=decision, reasons=tuple(facts["reasons"]))

    def _with(self, decision: Decision | None, reason: str) -> Rollout:
        given = {"decision": decision, "reason": reason}
        return replace(self.rollout, parameters=self.rollout.parameters.model_copy(update=given))

    def _report(
        self,
        *,
        promoted: bool,
        already_stable: bool = False,
        decision: Decision | None = None,
        reasons: tuple[str, ...] = (),
    ) -> RolloutReport:
        return RolloutReport(
            model=self.rollout.model,
            version=self.rollout.version,
            digest=self.rollout.parameters.digest,
            promoted=promoted,
            already_stable=already_stable,
            decision=decision,
            reasons=reasons,
            evidence=self.rollout.evidence.uri,
        )
