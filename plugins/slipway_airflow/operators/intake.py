"""Starts the runs that events ask for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from slipway.errors import SlipwayError, TerminalError
from slipway.events.book import SetAside, set_aside
from slipway.events.intake import BY_HAND, follow, mark, replay, take_in, tell
from slipway.events.messages import MessageError, ObjectCreated, parse_message
from slipway_airflow.hooks.events import Places
from slipway_airflow.runs import start_run
from slipway_airflow.triggers.events import run_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from slipway.events.drops import Listener
    from slipway.storage import Store

_BY_API = "from_rest_api"


class IntakeOperator(BaseOperator):
    """Decides what is pending in the models' event ledgers, and starts the runs that follow.

    Started again after any crash it starts the same runs, by the same ids, so each exists once.

    Returns what it started and what it refused, by model.

    Args:
        listeners: The models that listen to any source.
    """

    ui_color = "#fde9d0"

    def __init__(self, *, listeners: Sequence[Listener], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.listeners = {listener.model: listener for listener in listeners}
        self._places = Places()

    def execute(self, context: Context) -> dict[str, list[str]]:
        """Decide and start.

        Raises:
            SlipwayError: the first, after every model had its turn.
        """
        told: dict[str, list[str]] = {}
        self._failures: list[SlipwayError] = []
        for model in self._wanted(context, told):
            try:
                told.setdefault(model, []).extend(self._take_in(self.listeners[model]))
            except SlipwayError as error:
                self._failed(model, error)
        if self._failures:
            raise self._failures[0]
        return told

    def _failed(self, what: str, error: SlipwayError) -> None:
        self.log.warning("%s: %s", what, error)
        self._failures.append(error)

    def _wanted(self, context: Context, told: dict[str, list[str]]) -> list[str]:
        """The models that the run's events or parameters name; all if they name none."""
        params = context["params"]
        model, replay = params.get("model"), params.get("replay")
        if replay:
            self._replay(model, replay)
        named = [model] if model else []
        events = context["triggering_asset_events"]
        for extra in [event.extra or {} for asset in events for event in events[asset]]:
            announced = _announced(extra)
            if announced is not None:
                named += announced
            else:
                named += self._tell({n: v for n, v in extra.items() if n != _BY_API}, told)
        # A model that has left since has no listener; its ledger keeps what was open.
        known = [name for name in dict.fromkeys(named) if name in self.listeners]
        return known if named else list(self.listeners)

    def _tell(self, extra: dict[str, Any], told: dict[str, list[str]]) -> list[str]:
        """Write down what somebody said through Airflow's API; whom it is for."""
        body = json.dumps(extra)
        try:
            return [self._told(body)]
        except MessageError as error:
            self.log.warning("refused: %s: %s", body[:500], error)
            told.setdefault("refused", []).append(str(error))
            self._set_aside(SetAside.of(str(error), body))
        except SlipwayError as error:
            self._failed(body[:500], error)
        return []

    def _set_aside(self, refused: SetAside) -> None:
        """Keep it where `slipway events` shows it, in the first bucket that can be had."""
        for listener in self.listeners.values():
            try:
                return set_aside(self._store(listener), BY_HAND, [refused])
            except SlipwayError as error:
                self.log.warning("%s: %s", listener.model, error)
        return None

    def _told(self, body: str) -> str:
        notice = next(iter(parse_message(body)), None)
        if notice is None or isinstance(notice, ObjectCreated):
            raise MessageError("neither {model, incoming} nor {model, version}")
        listener = self.listeners.get(notice.model)
        if listener is None:
            raise MessageError(f"no model {notice.model} listens to events")
        tell(listener, self._store(listener), lambda: self._drops(listener), notice)
        return notice.model

    def _take_in(self, listener: Listener) -> list[str]:
        store, told = self._store(listener), []
        follow(store, listener.model, run_state)
        for start in take_in(listener, store, lambda: self._drops(listener)):
            try:
                fresh = start_run(start.dag_id, start.run_id, start.conf)
            except TerminalError as error:
                mark(store, start, "refused", error.message)
                told.append(f"refused: {start.event_id}: {error.message}")
                continue
            mark(store, start, "started", f"run {start.run_id}")
            told.append(f"{start.dag_id} {start.run_id}{'' if fresh else ' (was there)'}")
        for line in told:
            self.log.info("%s: %s", listener.model, line)
        return told

    def _replay(self, model: str | None, event_id: str) -> None:
        listener = self.listeners.get(model or "")
        if listener is None:
            raise TerminalError(
                f"a replay needs one of the models {', '.join(self.listeners)}, not {model!r}",
                hint="set the parameter model too",
                subject="model",
            )
        replay(self._store(listener), listener.model, event_id)

    def _store(self, listener: Listener) -> Store:
        return self._places.open(listener.base_uri, listener.connection)

    def _drops(self, listener: Listener) -> Store:
        connection = listener.incoming_connection or listener.connection
        return self._places.open(str(listener.incoming), connection)


def _announced(extra: dict[str, Any]) -> list[str] | None:
    """The models that our own trigger names; None if somebody else speaks.

    Airflow marks what came through its API, where anybody may claim to be a trigger.
    """
    if not extra.get("from_trigger") or extra.get(_BY_API):
        return None
    payload = extra.get("payload")
    models = payload.get("models") if isinstance(payload, dict) else None
    known = isinstance(models, list) and all(isinstance(model, str) for model in models)
    return models if known else None
