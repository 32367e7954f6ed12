"""Watches a canary from the triggerer, where waiting costs no worker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from slipway.contracts import StepFailure
from slipway.errors import SlipwayError
from slipway.health import Judge, JudgeState
from slipway.rollout.subject import Subject
from slipway.spec.rollout import HealthPolicy
from slipway_airflow.hooks.prometheus import look

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from slipway.contracts import Contract


class ModelHealthTrigger(BaseTrigger):
    """Looks until the verdict is final; its event holds `decision`, or `failure`.

    It can be stopped and started again at any time, on another machine too: the time when judging
    began is among its arguments, so the policy's timeout holds over all of it.

    Args:
        connection_id: Airflow connection of Prometheus; credentials never pass through here.
        policy: A HealthPolicy as JSON.
        subject: A Subject as JSON: whom to judge.
        started_at: When judging began, Unix time in seconds.
        probe: Metrics of the step `probe`.
    """

    def __init__(
        self,
        *,
        connection_id: str,
        policy: dict[str, Any],
        subject: dict[str, Any],
        started_at: float,
        probe: dict[str, float] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.connection_id = connection_id
        self.policy = policy
        self.subject = subject
        self.started_at = started_at
        self.probe = probe

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "connection_id": self.connection_id,
            "policy": self.policy,
            "subject": self.subject,
            "started_at": self.started_at,
            "probe": self.probe,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look every `interval_seconds`; one event at the end."""
        policy = HealthPolicy.model_validate(self.policy)
        state = JudgeState(started_at=self.started_at)
        subject = Subject.model_validate(self.subject)
        judge = Judge(policy, subject, state=state, probe=self.probe)
        try:
            decision = await look(judge, self.connection_id)
            while decision is None:
                self.log.info("look: %s", judge.state.looks[-1].model_dump(mode="json"))
                await asyncio.sleep(policy.interval_seconds)
                decision = await look(judge, self.connection_id)
        except SlipwayError as error:
            yield _event("failure", StepFailure.of(error))
            return
        yield _event("decision", decision)


def _event(key: str, value: Contract) -> TriggerEvent:
    payload = {key: value.model_dump(mode="json")}
    return TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow's
