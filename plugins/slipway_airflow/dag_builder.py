r"""Specs become DAGs: the only place that makes tasks.

<model>__build     check -> each variant's group (make, validate) -> benchmark -> select -> publish
<model>__rollout   preflight -> deploy -> probe -> health -> [approve -> shift -> health] ...
                   -> [approve] -> promote -> stable, gc; \-> rollback
<model>__adopt     adopt, only when a person asks for it
"""

from __future__ import annotations

import gc
import logging
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param, TaskGroup, TriggerRule, get_parsing_context

from slipway.errors import SlipwayError, TerminalError
from slipway.incoming import INCOMING
from slipway.spec.incoming import IncomingModel
from slipway.spec.loader import load_spec, spec_files
from slipway.spec.plan import plan_adopt, plan_build, plan_rollout
from slipway_airflow import docs
from slipway_airflow.assets import model_asset
from slipway_airflow.events import INTAKE_DAG, build_schedule, intake_dag
from slipway_airflow.failures import RETRY_POLICY, retry_arguments
from slipway_airflow.operators.base import Work
from slipway_airflow.operators.broken_spec import BrokenSpecOperator
from slipway_airflow.operators.registry import OPERATORS
from slipway_airflow.sensors.model_health import ModelHealthSensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from airflow.sdk import BaseOperator

    from slipway.spec.model import ModelSpec
    from slipway.spec.plan import PlannedStep

log = logging.getLogger(__name__)

BUILD, ROLLOUT, ADOPT = "build", "rollout", "adopt"
BROKEN_TAG = "broken-spec"
STABLE = "stable"

_NO_ID = re.compile(r"[^A-Za-z0-9_.-]")


def build_dags(folder: Path) -> dict[str, DAG]:
    """The DAGs of every spec in a folder, by DAG id.

    A worker that runs one task reads that task's model only. A spec that cannot be used costs its
    own model only: one DAG that says what is wrong stands in its place.
    """
    dags: dict[str, DAG] = {}
    specs: list[ModelSpec] = []
    with _no_collection():
        for file in _wanted(folder):
            dags |= {dag.dag_id: dag for dag in _dags_of(file, specs)}
    intake = intake_dag(specs)
    return dags if intake is None else dags | {intake.dag_id: intake}


def build_dag(spec: ModelSpec, file: Path) -> DAG:
    """The DAG from training to publishing."""
    dag = _dag(spec, BUILD, schedule=build_schedule(spec), doc_md=docs.build_doc(spec))
    groups: dict[str, TaskGroup] = {}
    tasks: dict[str, BaseOperator] = {}
    common = _common_arguments(spec, dag)
    for planned in plan_build(spec):
        group_id, _, name = planned.task_id.rpartition(".")
        if group_id and group_id not in groups:
            groups[group_id] = _variant_group(spec, group_id, dag)
        arguments: dict[str, Any] = {"task_group": groups[group_id]} if group_id else {}
        if planned.step == "publish":
            arguments["outlets"] = [model_asset(spec.model)]
        task = _task(Work(spec, file, planned), name, **common, **arguments)
        _set_upstream(task, [tasks[needed] for needed in planned.needs])
        tasks[planned.task_id] = task
    # Set before, Airflow would copy it once for each task, which doubles the time that this takes.
    dag.params["force"] = Param(False, type="boolean", title="Compute everything anew")
    if spec.incoming is not None and spec.incoming.uri is not None:
        dag.params[INCOMING] = _incoming_param(spec.incoming.uri)
    return dag


def rollout_dag(spec: ModelSpec, file: Path) -> DAG:
    """The DAG from a published version to a stable one.

    `stable` comes after promote and is a leaf, so a run that did not promote ends as failed, also
    when rollback, the other leaf, did its work.
    """
    dag = _dag(spec, ROLLOUT, schedule=[model_asset(spec.model)], doc_md=docs.rollout_doc(spec))
    common = _common_arguments(spec, dag)
    tasks: dict[str, BaseOperator] = {}
    groups: dict[str, TaskGroup] = {}
    for planned in plan_rollout(spec):
        place = common | _place(planned.task_id, groups, dag)
        if planned.approval is not None:
            _follow(_approval(spec, planned, next(iter(tasks)), place), planned.approval, tasks)
        rollback = planned.step == "rollback"
        rule = {"trigger_rule": TriggerRule.ONE_FAILED} if rollback else {}
        task = _task(Work(spec, file, planned), _name(planned.task_id), **place, **rule)
        _set_upstream(task, _before_in_rollout(planned.step, tasks))
        tasks[planned.task_id] = task
        if planned.gate is not None:
            _follow(_health(spec, planned, place), planned.gate, tasks)
    stable = EmptyOperator(
        task_id=STABLE,
        dag=dag,
        owner=spec.owner,
        doc_md="The version is stable. Fails with the rollout, so that a rollback is no success.",
    )
    _set_upstream(stable, [tasks["promote"]])
    dag.params["version"] = Param(
        None,
        type=["integer", "null"],
        minimum=1,
        title="Version",
        description="The version to roll out; empty: the newest that is published.",
    )
    dag.params["digest"] = Param(
        None,
        type=["string", "null"],
        pattern="^[0-9a-f]{64}$",
        title="Digest",
        description="What the version must hold; empty: what its manifest says.",
    )
    dag.params["allow_older"] = Param(
        False, type="boolean", title="Allow an older version to take over from a newer one"
    )
    return dag


def adopt_dag(spec: ModelSpec, file: Path) -> DAG:
    """The DAG with which a person takes in a folder that was copied into the bucket by hand."""
    dag = _dag(spec, ADOPT, schedule=None, doc_md=docs.adopt_doc(spec))
    [planned] = plan_adopt(spec)
    outlets = [model_asset(spec.model)]
    _task(
        Work(spec, file, planned), planned.task_id, outlets=outlets, **_common_arguments(spec, dag)
    )
    dag.params["version"] = Param(
        type="integer",
        minimum=1,
        title="Version",
        description="The folder that was copied; it keeps its number.",
    )
    return dag


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
    _set_upstream(task, list(tasks.values())[-1:])
    tasks[task_id] = task


def broken_dag(file: Path, error: SlipwayError) -> DAG:
    """The DAG that stands in for a spec that cannot be used."""
    name = file.stem if file.suffix == ".yaml" else file.name
    dag = DAG(
        f"{_NO_ID.sub('_', name)}__{BUILD}",
        schedule=None,
        catchup=False,
        description=f"{file.name} cannot be used",
        doc_md=docs.broken_doc(file.name, error),
        tags={"slipway", BROKEN_TAG},
    )
    BrokenSpecOperator(
        task_id="spec",
        error=error,
        dag=dag,
        retry_policy=RETRY_POLICY,
        doc_md=docs.broken_doc(file.name, error),
    )
    return dag


@contextmanager
def _no_collection() -> Iterator[None]:
    """All that is made meanwhile stays: a search for garbage would take a tenth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _wanted(folder: Path) -> list[Path]:
    dag_id = get_parsing_context().dag_id
    if dag_id not in {None, INTAKE_DAG}:
        own = folder / f"{str(dag_id).rpartition('__')[0]}.yaml"
        if own.is_file():
            return [own]
    return spec_files(folder)


def _dags_of(file: Path, specs: list[ModelSpec]) -> list[DAG]:
    """The DAGs of a spec; a spec that can be used is added to `specs`."""
    try:
        spec = load_spec(file)
        if get_parsing_context().dag_id == INTAKE_DAG:
            specs.append(spec)
            return []
        build = build_dag(spec, file)
        # Left to Airflow, a cron expression that is none would be an error of the whole file.
        build.timetable.validate()
        dags = [build, rollout_dag(spec, file), adopt_dag(spec, file)]
        specs.append(spec)
    except SlipwayError as error:
        return [broken_dag(file, error)]
    except Exception as error:  # whatever it is, it must not cost the other models
        log.exception("%s cannot become DAGs", file)
        return [broken_dag(file, _refused(file, error))]
    return dags


def _refused(file: Path, error: Exception) -> TerminalError:
    return TerminalError(
        f"{file.name}: Airflow refuses it: {type(error).__name__}: {error}",
        hint="correct the spec; the traceback is in the DAG processor's log",
        subject=str(file),
    )


def _incoming_param(place: str) -> Param:
    schema = IncomingModel.model_json_schema()
    return Param(
        None,
        type=["object", "null"],
        title="Dropped model",
        description=f"Uri of a folder directly below {place}, and the digest of its content.",
        **{key: schema[key] for key in ("properties", "required", "additionalProperties")},
    )


def _dag(spec: ModelSpec, kind: str, *, schedule: Any, doc_md: str) -> DAG:
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
    )


def _common_arguments(spec: ModelSpec, dag: DAG) -> dict[str, Any]:
    return {"dag": dag, "owner": spec.owner} | retry_arguments(spec.execution)


def _task(work: Work, task_id: str, **arguments: Any) -> BaseOperator:
    planned = work.planned
    if planned.tolerant:
        arguments.setdefault("trigger_rule", TriggerRule.ALL_DONE)
    doc = docs.step_doc(planned)
    return OPERATORS[planned.step].of(work, task_id=task_id, doc_md=doc, **arguments)


def _set_upstream(task: BaseOperator, before: Sequence[BaseOperator]) -> None:
    """As `task.set_upstream`, which hashes the whole DAG, its assets too, for each end of an edge.

    That is a fifth of the time that a thousand specs take to become DAGs.
    """
    for other in before:
        task.upstream_task_ids.add(other.task_id)
        other.downstream_task_ids.add(task.task_id)


def _variant_group(spec: ModelSpec, variant: str, dag: DAG) -> TaskGroup:
    made = spec.variants.get(variant)
    tooltip = f"from {made.source} by {made.technique}" if made else "the model as trained"
    return TaskGroup(variant, dag=dag, parent_group=dag.task_group, tooltip=tooltip)


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
