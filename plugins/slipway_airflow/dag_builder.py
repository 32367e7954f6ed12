r"""Specs become DAGs: the only place that makes tasks.

<model>__build     check -> each variant's group (make, validate) -> benchmark -> select -> publish
<model>__rollout   preflight -> deploy -> probe -> health -> [approve -> shift -> health] ...
                   -> [approve] -> promote -> stable, gc; \-> rollback
<model>__rollback  preflight -> deploy -> probe -> promote -> stable; \-> withdraw
<model>__adopt     adopt, only when a person asks for it
"""

from __future__ import annotations

import gc
import logging
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Param, TaskGroup, get_parsing_context

from slipway.errors import SlipwayError, TerminalError
from slipway.spec.loader import load_spec, spec_files
from slipway.spec.plan import plan_adopt, plan_build
from slipway_airflow import docs
from slipway_airflow.assets import model_asset
from slipway_airflow.events import INTAKE_DAG, build_schedule, intake_dag
from slipway_airflow.failures import RETRY_POLICY
from slipway_airflow.forms import add_build_form
from slipway_airflow.operators.base import Work
from slipway_airflow.operators.broken_spec import BrokenSpecOperator
from slipway_airflow.rollout_dags import rollback_dag, rollout_dag
from slipway_airflow.tasks import (
    common_arguments,
    model_dag,
    pool_arguments,
    set_upstream,
    step_task,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow.sdk import BaseOperator

    from slipway.spec.model import ModelSpec
    from slipway.spec.plan import PlannedStep

log = logging.getLogger(__name__)

BUILD, ADOPT = "build", "adopt"
BROKEN_TAG = "broken-spec"

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
    dag = model_dag(spec, BUILD, schedule=build_schedule(spec), doc_md=docs.build_doc(spec))
    groups: dict[str, TaskGroup] = {}
    tasks: dict[str, BaseOperator] = {}
    common = common_arguments(spec, dag) | pool_arguments(spec)
    for planned in plan_build(spec):
        group_id, _, name = planned.task_id.rpartition(".")
        if group_id and group_id not in groups:
            groups[group_id] = _variant_group(spec, group_id, dag)
        arguments: dict[str, Any] = {"task_group": groups[group_id]} if group_id else {}
        if planned.step == "publish":
            arguments["outlets"] = [model_asset(spec.model)]
        made = step_task(Work(spec, file, planned), name, **common, **arguments)
        set_upstream(made, [tasks[needed] for needed in planned.needs])
        if planned.approval is not None:
            tasks[planned.approval] = _approval(spec, planned, tasks["select"], common)
            set_upstream(made, [tasks[planned.approval]])
        tasks[planned.task_id] = made
    add_build_form(spec, dag)
    return dag


def adopt_dag(spec: ModelSpec, file: Path) -> DAG:
    """The DAG with which a person takes in a folder that was copied into the bucket by hand."""
    dag = model_dag(spec, ADOPT, schedule=None, doc_md=docs.adopt_doc(spec))
    [planned] = plan_adopt(spec)
    outlets = [model_asset(spec.model)]
    common = common_arguments(spec, dag)
    step_task(Work(spec, file, planned), planned.task_id, outlets=outlets, **common)
    dag.params["version"] = Param(
        type="integer",
        minimum=1,
        title="Version",
        description="The folder that was copied; it keeps its number.",
    )
    return dag


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
        others = (rollout_dag, rollback_dag, adopt_dag)
        dags = [build, *(make(spec, file) for make in others)]
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


def _variant_group(spec: ModelSpec, variant: str, dag: DAG) -> TaskGroup:
    made = spec.variants.get(variant)
    tooltip = f"from {made.source} by {made.technique}" if made else "the model as trained"
    return TaskGroup(variant, dag=dag, parent_group=dag.task_group, tooltip=tooltip)


def _approval(
    spec: ModelSpec, planned: PlannedStep, select: BaseOperator, common: dict[str, Any]
) -> BaseOperator:
    # Imported where a spec asks for it: thousands that do not need not wait for it.
    from slipway_airflow.operators.approval import PublishApprovalOperator

    approval = PublishApprovalOperator(
        task_id=planned.approval,
        spec=spec,
        doc_md="A person reads the report and approves the winner's digest, or it stops here.",
        **common,
    )
    set_upstream(approval, [select])
    return approval
