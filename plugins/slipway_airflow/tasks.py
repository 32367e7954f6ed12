"""What every DAG and every task of a model has: owner, retries, pool, documentation, edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, TriggerRule

from slipway_airflow import docs
from slipway_airflow.alerts import alert_arguments
from slipway_airflow.failures import retry_arguments
from slipway_airflow.operators.registry import OPERATORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import BaseOperator

    from slipway.spec.model import ModelSpec
    from slipway_airflow.operators.base import Work


def model_dag(spec: ModelSpec, kind: str, *, schedule: Any, doc_md: str) -> DAG:
    """An empty DAG of a model, `<model>__<kind>`."""
    return DAG(
        f"{spec.model}__{kind}",
        schedule=schedule,
        catchup=False,
        # Two runs at once would only wait for each other's keys, or fight for the label.
        max_active_runs=1,
        max_active_tasks=spec.execution.parallel_steps,
        description=spec.description or None,
        doc_md=doc_md,
        tags={"slipway", kind, spec.model},
        **alert_arguments(spec, kind),
    )


def common_arguments(spec: ModelSpec, dag: DAG) -> dict[str, Any]:
    """What every task of a DAG is told."""
    return {"dag": dag, "owner": spec.owner} | retry_arguments(spec.execution)


def step_task(work: Work, task_id: str, **arguments: Any) -> BaseOperator:
    """The task of a planned step, by its operator."""
    planned = work.planned
    if planned.tolerant:
        arguments.setdefault("trigger_rule", TriggerRule.ALL_DONE)
    doc = docs.step_doc(planned)
    return OPERATORS[planned.step].of(work, task_id=task_id, doc_md=doc, **arguments)


def set_upstream(task: BaseOperator, before: Sequence[BaseOperator]) -> None:
    """As `task.set_upstream`, which hashes the whole DAG, its assets too, for each end of an edge.

    That is a fifth of the time that a thousand specs take to become DAGs.
    """
    for other in before:
        task.upstream_task_ids.add(other.task_id)
        other.downstream_task_ids.add(task.task_id)


def pool_arguments(spec: ModelSpec) -> dict[str, Any]:
    """The pool in which a build's tasks wait for each other; a rollout's wait for nothing."""
    pool = spec.execution.pool
    return {} if pool is None else {"pool": pool}
