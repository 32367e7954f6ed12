"""The DAGs that move a model's channels: to a new version, and back to a kept one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, TaskGroup, TriggerRule

from slipway.spec.plan import plan_rollback, plan_rollout
from slipway_airflow import docs
from slipway_airflow.assets import model_asset
from slipway_airflow.forms import add_rollback_form, add_rollout_form
from slipway_airflow.operators.base import Work
from slipway_airflow.sensors.model_health import ModelHealthSensor
from slipway_airflow.tasks import common_arguments, model_dag, set_upstream, step_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from airflow.sdk import BaseOperator

    from slipway.spec.model import ModelSpec
    from slipway.spec.plan import PlannedStep

ROLLOUT, ROLLBACK = "rollout", "rollback"
STABLE = "stable"


def rollout_dag(spec: ModelSpec, file: Path) -> DAG:
    """The DAG from a published version to a stable one.

    `stable` comes after promote and is a leaf, so a run that did not promote ends as failed, also
    when rollback, the other leaf, did its work.
    """
    dag = model_dag(
        spec, ROLLOUT, schedule=[model_asset(spec.model)], doc_md=docs.rollout_doc(spec)
    )
    common = common_arguments(spec, dag)
    tasks: dict[str, BaseOperator] = {}
    groups: dict[str, TaskGroup] = {}
    for planned in plan_rollout(spec):
        place = common | _place(planned.task_id, groups, dag)
        if planned.approval is not None:
            _follow(_approval(spec, planned, next(iter(tasks)), place), planned.approval, tasks)
        rollback = planned.step == "rollback"
        rule = {"trigger_rule": TriggerRule.ONE_FAILED} if rollback else {}
        made = step_task(Work(spec, file, planned), _name(planned.task_id), **place, **rule)
        set_upstream(made, _before_in_rollout(planned.step, tasks))
        tasks[planned.task_id] = made
        if planned.gate is not None:
            _follow(_health(spec, planned, place), planned.gate, tasks)
    _stable(spec, dag, tasks["promote"])
    add_rollout_form(dag)
    return dag


def rollback_dag(spec: ModelSpec, file: Path) -> DAG:
    """The DAG with which a person makes a kept version stable again, at once.

    The steps of a rollout without its gates: the version was proven when it first became stable,
    so only its golden answers are compared before it takes over.
    """
    dag = model_dag(spec, ROLLBACK, schedule=None, doc_md=docs.rollback_doc(spec))
    common = common_arguments(spec, dag)
    tasks: dict[str, BaseOperator] = {}
    for planned in plan_rollback(spec):
        withdraws = planned.step == "rollback"
        rule = {"trigger_rule": TriggerRule.ONE_FAILED} if withdraws else {}
        work = Work(spec, file, planned, goes_back=True)
        made = step_task(work, planned.task_id, **common, **rule)
        set_upstream(made, _before_in_rollout(planned.step, tasks))
        tasks[planned.task_id] = made
    _stable(spec, dag, tasks["promote"])
    add_rollback_form(dag)
    return dag


def _stable(spec: ModelSpec, dag: DAG, promote: BaseOperator) -> None:
    stable = EmptyOperator(
        task_id=STABLE,
        dag=dag,
        owner=spec.owner,
        doc_md="The version is stable. Fails with the run, so that a withdrawal is no success.",
    )
    set_upstream(stable, [promote])


def _before_in_rollout(step: str, tasks: dict[str, BaseOperator]) -> Sequence[BaseOperator]:
    before = list(tasks.values())
    if step == "rollback":
        return before[1:]
    # What a promotion sets free goes after it; that this fails must not roll anything back.
    return [tasks["promote"]] if step == "gc" else before[-1:]


def _place(task_id: str, groups: dict[str, TaskGroup], dag: DAG) -> dict[str, Any]:
    """The group in which a step of the traffic stands, with its gate and its approval."""
    group_id = task_id.rpartition(".")[0]
    if not group_id:
        return {}
    if group_id not in groups:
        groups[group_id] = TaskGroup(group_id, dag=dag, parent_group=dag.task_group)
    return {"task_group": groups[group_id]}


def _name(task_id: str | None) -> str:
    """A task's own name within its group."""
    return str(task_id).rpartition(".")[2]


def _follow(task: BaseOperator, task_id: str, tasks: dict[str, BaseOperator]) -> None:
    """Put a task behind the last one."""
    set_upstream(task, list(tasks.values())[-1:])
    tasks[task_id] = task


def _health(spec: ModelSpec, planned: PlannedStep, common: dict[str, Any]) -> BaseOperator:
    doc = "Judges the canary by Prometheus until its verdict is final; only healthy goes on."
    return ModelHealthSensor(
        task_id=_name(planned.gate), spec=spec, after=planned.task_id, doc_md=doc, **common
    )


def _approval(
    spec: ModelSpec, planned: PlannedStep, preflight: str, common: dict[str, Any]
) -> BaseOperator:
    # Imported where a spec asks for it: thousands that do not need not wait for it.
    from slipway_airflow.operators.approval import RolloutApprovalOperator

    return RolloutApprovalOperator(
        task_id=_name(planned.approval),
        spec=spec,
        step=planned.summary.rstrip("."),
        evidence_of=preflight,
        doc_md="A person approves the digest that is shown, or it is rolled back.",
        **common,
    )
