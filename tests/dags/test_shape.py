"""The project's own specs as DAGs: what the UI and the scheduler get."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import TriggerRule
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization

from slipway.registry import STEPS
from slipway.spec.loader import load_spec
from slipway.spec.plan import plan_build, plan_rollout
from slipway_airflow.dag_builder import build_dag, build_dags
from slipway_airflow.failures import RETRY_POLICY
from slipway_airflow.operators.registry import OPERATORS
from slipway_airflow.rollout_dags import rollback_dag, rollout_dag
from support.specs import PROJECT, write_spec

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import DAG

MODELS = PROJECT / "dags" / "models"
DIGITS = MODELS / "digits.yaml"


@pytest.fixture(scope="module")
def dags() -> dict[str, DAG]:
    """Every DAG of the project, as Airflow finds it."""
    bag = DagBag(str(PROJECT / "dags"))
    assert bag.import_errors == {}
    return dict(bag.dags)


def upstream(dag: DAG) -> dict[str, set[str]]:
    return {task.task_id: set(task.upstream_task_ids) for task in dag.tasks}


def test_every_spec_has_a_build_a_rollout_a_rollback_and_an_adoption(dags: dict[str, DAG]):
    models = {file.stem for file in MODELS.glob("*.yaml") if not file.name.startswith("_")}
    assert "digits" in models
    kinds = ("build", "rollout", "rollback", "adopt")
    assert set(dags) == {f"{name}__{kind}" for name in models for kind in kinds}


def test_nothing_is_anonymous(dags: dict[str, DAG]):
    for dag in dags.values():
        assert dag.description, dag.dag_id
        assert dag.doc_md, dag.dag_id
        assert {"slipway", dag.dag_id.split("__")[0]} <= set(dag.tags)
        for task in dag.tasks:
            assert task.doc_md, task.task_id
            assert task.owner not in {"", "airflow"}, task.task_id


def test_no_run_waits_for_another_and_no_past_is_caught_up(dags: dict[str, DAG]):
    for dag in dags.values():
        assert dag.max_active_runs == 1
        assert dag.max_active_tasks == 2
        assert dag.catchup is False


def test_a_build_has_the_edges_of_its_plan(dags: dict[str, DAG]):
    plan = {step.task_id: set(step.needs) for step in plan_build(load_spec(DIGITS))}
    assert upstream(dags["digits__build"]) == plan
    assert [task.task_id for task in dags["digits__build"].roots] == ["check"]
    assert [task.task_id for task in dags["digits__build"].leaves] == ["publish"]


def test_each_variant_is_a_group_of_its_own(dags: dict[str, DAG]):
    groups = dags["digits__build"].task_group.get_task_group_dict()
    assert set(groups) - {None} == {"original", *load_spec(DIGITS).variants}
    assert set(groups["lite_int8"].children) == {"lite_int8.tflite", "lite_int8.validate"}
    assert set(groups["original"].children) == {"original.train_export", "original.validate"}


def test_both_ends_of_an_edge_know_it(dags: dict[str, DAG]):
    for dag in dags.values():
        for task in dag.tasks:
            for other in task.upstream_task_ids:
                assert task.task_id in dag.get_task(other).downstream_task_ids


def test_only_steps_that_bear_failures_run_after_them(dags: dict[str, DAG]):
    build = dags["digits__build"]
    tolerant = {t.task_id for t in build.tasks if t.trigger_rule == TriggerRule.ALL_DONE}
    assert tolerant == {"benchmark", "select"}
    others = [task for task in build.tasks if task.task_id not in tolerant]
    assert {task.trigger_rule for task in others} == {TriggerRule.ALL_SUCCESS}


def test_a_rollout_goes_on_only_while_all_is_well(dags: dict[str, DAG]):
    rollout = dags["digits__rollout"]
    assert upstream(rollout) == {
        "preflight": set(),
        "deploy": {"preflight"},
        "probe": {"deploy"},
        "health": {"probe"},
        "promote": {"health"},
        "rollback": {"deploy", "probe", "health", "promote"},
        "stable": {"promote"},
        "gc": {"promote"},
    }
    rules = {task.task_id: task.trigger_rule for task in rollout.tasks}
    assert rules.pop("rollback") == TriggerRule.ONE_FAILED
    assert set(rules.values()) == {TriggerRule.ALL_SUCCESS}


CANARY = """\
  strategy: canary
  approval: true
  canary: {steps: [{share: 0.2, approval: true}, {share: 0.5}]}
serve: {kubernetes: {namespace: models}}
"""


def test_a_canary_is_judged_after_every_share_and_approved_where_the_spec_says(tmp_path: Path):
    file = write_spec(tmp_path, extra=CANARY)
    way = upstream(rollout_dag(load_spec(file), file))
    chain = ["preflight", "deploy", "probe", "health", "step_1.approve", "step_1.shift"]
    chain += ["step_1.health", "step_2.shift", "step_2.health", "approve", "promote", "stable"]
    assert [way[task] for task in chain] == [set(), *({before} for before in chain[:-1])]
    assert way["rollback"] == set(chain[1:-1])


def test_blue_green_sends_all_requests_over_and_judges_that(tmp_path: Path):
    extra = "  strategy: blue_green\nserve: {kubernetes: {namespace: models}}\n"
    file = write_spec(tmp_path, extra=extra)
    way = upstream(rollout_dag(load_spec(file), file))
    assert way["switch.shift"] == {"health"}
    assert way["promote"] == {"switch.health"}


def test_every_step_of_the_registry_has_an_operator_of_its_own():
    assert set(OPERATORS) == set(STEPS)
    assert len(set(OPERATORS.values())) == len(OPERATORS)


def test_every_task_retries_by_the_kind_of_error(dags: dict[str, DAG]):
    execution = load_spec(DIGITS).execution
    for dag in dags.values():
        for task in dag.tasks:
            if task.task_id == "stable":
                continue  # the scheduler ends it without a process
            assert task.retry_policy is RETRY_POLICY
            assert task.retries == execution.retries
            assert task.retry_delay.total_seconds() == execution.retry_delay_seconds


def test_publishing_starts_the_rollout(dags: dict[str, DAG]):
    (outlet,) = dags["digits__build"].get_task("publish").outlets
    (adopted,) = dags["digits__adopt"].get_task("adopt").outlets
    (awaited,) = dags["digits__rollout"].timetable.asset_condition.objects
    assert outlet == adopted == awaited
    assert (outlet.name, outlet.uri, outlet.group) == ("digits", "x-slipway://digits", "slipway")
    outlets = [task for dag in dags.values() for task in dag.tasks if task.outlets]
    assert {task.task_id for task in outlets} == {"publish", "adopt"}


def test_a_rollback_has_no_gate_and_withdraws_what_fails(dags: dict[str, DAG]):
    assert upstream(dags["digits__rollback"]) == {
        "preflight": set(),
        "deploy": {"preflight"},
        "probe": {"deploy"},
        "promote": {"probe"},
        "withdraw": {"deploy", "probe", "promote"},
        "stable": {"promote"},
    }


def test_the_winner_is_approved_before_it_is_published_where_the_spec_says(tmp_path: Path):
    file = write_spec(tmp_path)
    file.write_text(file.read_text().replace("base_uri:", "approval: true, base_uri:"), "utf-8")
    build = build_dag(load_spec(file), file)
    assert upstream(build)["approve"] == {"select"}
    assert upstream(build)["publish"] == {"select", "approve"}


def test_builds_wait_in_the_pool_of_the_spec_and_rollouts_for_nothing(dags: dict[str, DAG]):
    assert {task.pool for task in dags["digits__build"].tasks} == {"slipway"}
    for kind in ("rollout", "rollback", "adopt"):
        assert {task.pool for task in dags[f"digits__{kind}"].tasks} == {"default_pool"}


def test_alerts_and_the_deadline_of_the_spec_stand_on_every_dag(tmp_path: Path):
    alerts = "alerts: [{notifier: support.told.Told}]\ndeadline_seconds: 60\n"
    write_spec(tmp_path, extra=alerts)
    for dag in build_dags(tmp_path).values():
        [alert] = dag.on_failure_callback
        assert alert.alert.notifier == "support.told.Told"
        [deadline] = dag.deadline if isinstance(dag.deadline, list) else [dag.deadline]
        assert deadline.interval.total_seconds() == 60
        assert DagSerialization.from_dict(DagSerialization.to_dict(dag)).has_on_failure_callback


@pytest.mark.parametrize("dag_id", ["digits__adopt", "digits__rollback"])
def test_only_a_person_who_names_the_version_starts_it(dags: dict[str, DAG], dag_id: str):
    by_hand = dags[dag_id]
    assert by_hand.schedule is None
    version = by_hand.params.get_param("version")
    for wrong in (None, 0, "7"):
        with pytest.raises(ParamValidationError):
            version.resolve(wrong)
    with pytest.raises(ParamValidationError, match="No value passed"):
        version.resolve()
    assert version.resolve(7) == 7


def test_the_options_are_documented(dags: dict[str, DAG]):
    doc = dags["digits__build"].get_task("pruned.prune").doc_md or ""
    assert "| final_sparsity | `0.8` |" in doc
    assert "| lite_int8 | quantized | tflite |" in (dags["digits__build"].doc_md or "")
    assert "0.01" in (dags["digits__rollout"].doc_md or "")


def test_what_may_be_asked_of_a_run_has_a_schema(dags: dict[str, DAG]):
    params = dags["digits__build"].params
    assert params.dump() == {"force": False, "variants": None, "skip_rollout": False}
    for name, wrong in {"force": "yes", "variants": ["prunned"], "skip_rollout": 1}.items():
        with pytest.raises(ParamValidationError):
            params.get_param(name).resolve(wrong)
    assert params.get_param("variants").resolve(["pruned"]) == ["pruned"]
    params = dags["digits__rollout"].params
    assert params.dump() == {"version": None, "digest": None, "allow_older": False}
    for name, wrong in {"version": 0, "digest": "latest", "allow_older": "yes"}.items():
        with pytest.raises(Exception, match=str(wrong)):
            params.get_param(name).resolve(wrong)
    assert params.get_param("version").resolve(3) == 3


def test_a_dag_survives_serialization(dags: dict[str, DAG]):
    for dag in dags.values():
        read = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        assert {t.task_id: set(t.upstream_task_ids) for t in read.tasks} == upstream(dag)
        for task in dag.tasks:
            again = read.get_task(task.task_id)
            assert again.task_type == type(task).__name__
            assert again.doc_md == task.doc_md
            assert again.has_retry_policy == (task.retry_policy is not None)
            assert set(again.extra_links) == {link.name for link in task.operator_extra_links}


def test_every_task_leads_to_what_it_is_about(tmp_path: Path):
    extra = (
        "  strategy: canary\n  approval: true\nserve: {kubernetes: {namespace: models}}\n"
        "variants: {pruned: {prune: {}}}\n"
    )
    file = write_spec(tmp_path, extra=extra)
    text = file.read_text("utf-8").replace('"s3://models"', '"s3://models", approval: true')
    file.write_text(text, "utf-8")
    spec = load_spec(file)
    for dag in (build_dag(spec, file), rollout_dag(spec, file), rollback_dag(spec, file)):
        moves = not dag.dag_id.endswith("__build")
        wanted = {"Version", "Evidence", "Bucket", "Kubernetes"} if moves else {"Bucket"}
        for task in dag.tasks:
            shown = {link.name for link in task.operator_extra_links}
            # They do nothing, or clear up whatever the version.
            if task.task_id == "stable":
                continue
            expected = {"Bucket"} if task.task_id == "gc" else set(wanted)
            expected |= {"Prometheus"} if task.task_id.endswith("health") else set()
            if task.task_id in {"select", "approve", "publish"} and not moves:
                expected |= {"Report"}
            assert expected <= shown, task.task_id


def test_a_schedule_and_its_limits_come_from_the_spec(tmp_path: Path):
    extra = "owner: risk\nschedule: '@daily'\nexecution: {parallel_steps: 5, retries: 0}\n"
    file = write_spec(tmp_path, extra=extra)
    spec = load_spec(file)
    dag = build_dag(spec, file)
    assert dag.schedule == "@daily"
    assert dag.max_active_tasks == 5
    assert {(task.owner, task.retries) for task in dag.tasks} == {("risk", 0)}
    assert {task.task_id for task in rollout_dag(spec, file).tasks} >= {
        step.task_id for step in plan_rollout(spec)
    }


def test_an_imported_model_is_brought_in_by_its_own_operator(tmp_path: Path):
    write_spec(tmp_path, extra="saved_model: exported\n")
    build = build_dags(tmp_path)["tiny__build"]
    assert type(build.get_task("original.import")).__name__ == "ImportSavedModelOperator"


def test_parsing_imports_nothing_heavy():
    heavy = ("tensorflow", "tf_keras", "numpy", "sklearn", "ai_edge_litert", "plotly", "fastapi")
    code = (
        "import sys; from pathlib import Path; from slipway_airflow.dag_builder import build_dags;"
        f"found = build_dags(Path({str(MODELS)!r})); assert 'digits__build' in found;"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    assert _python(code) == "[]"


def test_airflow_loads_one_file_from_plugins_and_nothing_else():
    code = (
        "from airflow import plugins_manager, settings; import sys;"
        "from airflow.plugins_manager import PluginsDirectorySource as Source;"
        "found, errors = plugins_manager._get_plugins(); assert not errors, errors;"
        "own = [p for p in found if isinstance(p.source, Source)];"
        "print([(p.name, str(p.source)) for p in own],"
        "[name for name in ('tflite_convert', 'prune', 'dag_builder') if name in sys.modules],"
        "[app['url_prefix'] for app in plugins_manager.get_fastapi_plugins()[0]])"
    )
    assert _python(code).endswith(
        "[('slipway', '$PLUGINS_FOLDER/slipway_plugin.py')] [] ['/slipway']"
    )


def _python(code: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        cwd=PROJECT / "plugins",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]
