"""Who is told that a run failed or is late, by Airflow's own notifiers."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from slipway.alerts import alert_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from slipway.spec.alerts import Alert
    from slipway.spec.model import ModelSpec
    from slipway.spec.rollout import PublishSpec

log = logging.getLogger(__name__)

FAILURE, DEADLINE = "failure", "deadline"

# Who is told in time can look for himself; a bucket may take minutes to not answer.
_PATIENCE_SECONDS = 30.0


class SlipwayAlert:
    """Tells a notifier of the spec what failed, for which model, what serves and what to do.

    The notifier's own template fields see it as `{{ slipway.message }}`, `.model`, `.dag_id`,
    `.run_id` and `.failed`.

    Args:
        spec: The model's spec.
        alert: Which notifier, with which arguments.
    """

    def __init__(self, spec: ModelSpec, alert: Alert) -> None:
        self.spec = spec
        self.alert = alert

    def __call__(self, context: Context) -> None:
        """Tell it, now.

        Raises:
            Exception: whatever the notifier raises; Airflow logs it, and the run's state stays.
        """
        # A notifier would take its templates' environment from the DAG, and where Airflow hands it
        # the scheduler's, there is none.
        others = {name: value for name, value in context.items() if name != "dag"}
        told: Any = {**others, "slipway": self._facts(context)}
        _notifier(self.alert)(told)

    def _facts(self, context: Context) -> dict[str, Any]:
        run: Any = context.get("dag_run")
        dag: Any = context.get("dag")
        ti: Any = context.get("ti")
        facts: dict[str, Any] = {
            "model": self.spec.model,
            "dag_id": dag.dag_id if dag else f"{self.spec.model}__build",
            "run_id": str(context.get("run_id") or getattr(run, "run_id", "")),
            "failed": str(getattr(ti, "task_id", "") or ""),
            "reason": str(context.get("reason") or ""),
        }
        serving = _serving(self.spec.publish, self.spec.model)
        return {**facts, "message": alert_text(**facts, serving=serving)}


async def tell_deadline(
    *,
    model: str,
    dag_id: str,
    seconds: int,
    publish: dict[str, Any],
    notifiers: Sequence[dict[str, Any]],
    context: dict[str, Any] | None = None,
) -> None:
    """Tell every notifier that a run is late; Airflow calls it in the triggerer.

    Args:
        model: The model's name.
        dag_id: Whose run is late.
        seconds: How long it might have taken.
        publish: The spec's part that names the bucket and its connection, as JSON.
        notifiers: Class and arguments of each.
        context: What Airflow knows of the run.

    Raises:
        ExceptionGroup: what those raised that could not be told, after all were tried; Airflow
            keeps it with the callback.
    """
    import asyncio

    from slipway.spec.alerts import Alert
    from slipway.spec.rollout import PublishSpec

    run: dict[str, Any] = (context or {}).get("dag_run") or {}
    facts = {
        "model": model,
        "dag_id": dag_id,
        "run_id": str(run.get("dag_run_id") or run.get("run_id") or ""),
        "failed": "",
        "reason": f"it has not ended after {seconds} s",
    }
    # The bucket and most notifiers block; the triggerer's loop must not wait for them.
    reading = asyncio.to_thread(_serving, PublishSpec.model_validate(publish), model)
    try:
        serving = await asyncio.wait_for(reading, _PATIENCE_SECONDS)
    except TimeoutError:
        serving = _unknown(model)
    message = alert_text(**facts, serving=serving, late=True)
    told: Any = {**(context or {}), "slipway": {**facts, "message": message}}
    untold: list[Exception] = []
    for each in notifiers:
        try:
            await asyncio.to_thread(
                lambda alert: _notifier(alert)(told), Alert.model_validate(each)
            )
        except Exception as error:  # whatever it is, it must not silence the others
            log.exception("%s could not be told that %s is late", each.get("notifier"), dag_id)
            untold.append(error)
    if untold:
        raise ExceptionGroup(f"{len(untold)} of {len(notifiers)} were not told", untold)


def alert_arguments(spec: ModelSpec, kind: str) -> dict[str, Any]:
    """What a DAG is told of alerts: nothing where the spec asks for none."""
    if not spec.alerts:
        return {}
    arguments: dict[str, Any] = {}
    failures = [SlipwayAlert(spec, each) for each in spec.alerts if FAILURE in each.when]
    if failures:
        arguments["on_failure_callback"] = failures
    late = [each for each in spec.alerts if DEADLINE in each.when]
    if late and spec.deadline_seconds is not None:
        arguments["deadline"] = _deadline(spec, f"{spec.model}__{kind}", late)
    return arguments


def _deadline(spec: ModelSpec, dag_id: str, alerts: Sequence[Alert]) -> Any:
    # Imported where a spec asks for it: thousands that do not need not wait for it.
    from airflow.sdk.definitions.callback import AsyncCallback
    from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

    seconds = spec.deadline_seconds or 0
    facts = {
        "model": spec.model,
        "dag_id": dag_id,
        "seconds": seconds,
        "publish": spec.publish.model_dump(mode="json"),
        "notifiers": [each.model_dump(mode="json") for each in alerts],
    }
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=seconds),
        callback=AsyncCallback(f"{__name__}.{tell_deadline.__name__}", kwargs=facts),
    )


def _notifier(alert: Alert) -> Any:
    from airflow.sdk._shared.module_loading import import_string

    return import_string(alert.notifier)(**alert.arguments)


def _serving(publish: PublishSpec, model: str) -> str:
    """What serves now; the alert must go out although the bucket does not answer."""
    from slipway_airflow.hooks.bucket import stable_version

    try:
        version = stable_version(publish, model)
    except Exception:  # whatever it is, it must not silence the alert
        log.exception("which version is stable cannot be told")
        return _unknown(model)
    return f"version {version}" if version else "nothing"


def _unknown(model: str) -> str:
    return f"unknown: the bucket does not answer; `slipway versions {model}` tells once it does"
