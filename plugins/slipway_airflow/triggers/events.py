"""Waits for events in the triggerer: one of these for each source, however many models listen."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from slipway.events.drops import Listener
from slipway.events.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_LONGEST_PAUSE_SECONDS = 60.0


class EventTrigger(BaseEventTrigger):
    """Writes what a source brings into the models' event ledgers, and tells Airflow that it did.

    Its events name models with something to decide. They may be lost or come twice: the ledgers
    say what is open, and it tells again until it is decided. It never ends by itself; while a
    bucket or the source is out of reach it tries again, at most a minute later.

    Args:
        name: Of the source.
        source: What it is, as JSON: see `slipway.spec.events.source_of`. Credentials never pass
            through here.
        listeners: The models, as a JSON list of `Listener`s, sorted: the same for the same specs.
    """

    # Text, because what Airflow stores of a list of mappings is no longer one when it is read.
    def __init__(self, *, name: str, source: str, listeners: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.name = name
        self.source = source
        self.listeners = listeners

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "name": self.name,
            "source": self.source,
            "listeners": self.listeners,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Step for ever; an event whenever there is something to decide."""
        watcher: Watcher | None = None
        pause = 1.0
        while True:
            try:
                # The clients block, so they wait in a thread; connections are asked for there too.
                if watcher is None:
                    watcher = await asyncio.to_thread(self._watcher)
                models = await asyncio.to_thread(watcher.step)
                await asyncio.to_thread(watcher.follow, run_state)
            except Exception as error:  # noqa: BLE001 - ended, it would never be started again
                self.log.warning("%s: %s; again in %g s", self.name, error, pause)
                watcher = None  # what it knew is in the ledgers; its credentials may be too old
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                continue
            pause = 1.0
            if models:
                payload = {"source": self.name, "models": models}
                yield TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow's

    def _watcher(self) -> Watcher:
        from slipway_airflow.hooks.events import Places, open_source

        listeners = [Listener.model_validate(each) for each in json.loads(self.listeners)]
        places = Places()
        source = open_source(self.name, json.loads(self.source), places)
        return Watcher(listeners, source, places.open)


def run_state(dag_id: str, run_id: str) -> str | None:
    """The state of a run, from the triggerer or a task; None if there is no such run."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    def count(*states: str) -> int:
        return RuntimeTaskInstance.get_dr_count(
            dag_id=dag_id, run_ids=[run_id], states=list(states) or None
        )

    for state in ("success", "failed"):
        if count(state):
            return state
    return "running" if count() else None
