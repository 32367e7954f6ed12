"""The DAGs run by Airflow itself; the steps are real processes whose work is made up."""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from slipway.serving.publish import publish
from slipway.storage import open_store
from slipway_airflow.dag_builder import build_dags
from support.airflow_home import with_database
from support.scripted_prometheus import scripted_prometheus
from support.specs import SMALLEST
from support.step_stub import StepStub, failed, succeeded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow.sdk import DAG

DIGEST = "ab" * 32
PROBED = {"probe_requests": 200.0, "probe_error_ratio": 0.0}
WANTED = {"version": 3, "digest": DIGEST}


@dataclass
class Pipeline:
    """One model's DAGs and the stub that plays its steps."""

    model: str
    models: Path
    stub: StepStub

    def run(self, kind: str, *, by_hand: str | None = None, **conf: Any) -> Run:
        """Run one of the DAGs to its end, the task `by_hand` only marked as success."""
        pattern = f"^{by_hand}$" if by_hand else None
        return Run(self._dag(kind).test(run_conf=conf, mark_success_pattern=pattern))

    def again(self, kind: str, run: Run, task_id: str) -> None:
        """Clear a task of a run and run it."""
        from airflow.models.taskinstance import clear_task_instances
        from airflow.sdk.definitions.dag import _run_task
        from airflow.utils.session import create_session

        with create_session() as session:
            cleared = run.dag_run.get_task_instance(task_id, session=session)
            clear_task_instances([cleared], session)
        ti = run.dag_run.get_task_instance(task_id)
        _run_task(ti=ti, task=self._dag(kind).get_task(task_id))

    def _dag(self, kind: str) -> DAG:
        return build_dags(self.models)[f"{self.model}__{kind}"]


@dataclass
class Run:
    """A run that has ended."""

    dag_run: Any

    @property
    def state(self) -> str:
        return str(self.dag_run.state)

    @property
    def states(self) -> dict[str, str]:
        """State by task id."""
        return {ti.task_id: str(ti.state) for ti in self.dag_run.get_task_instances()}

    def tries(self, task_id: str) -> int:
        return int(self.dag_run.get_task_instance(task_id).try_number)

    def xcom(self, task_id: str, key: str = "return_value") -> Any:
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session

        with create_session() as session:
            found = XComModel.get_many(
                run_id=self.dag_run.run_id,
                dag_ids=self.dag_run.dag_id,
                task_ids=task_id,
                key=key,
            )
            row = session.scalars(found).first()
            return None if row is None else row.value

    def rendered(self, task_id: str) -> Any:
        from airflow.models.renderedtifields import RenderedTaskInstanceFields

        ti = self.dag_run.get_task_instance(task_id)
        return RenderedTaskInstanceFields.get_templated_fields(ti)


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """A model with two variants, published to a folder."""
    models = with_database() / "dags" / "models"
    model = f"m{uuid.uuid4().hex[:12]}"
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    (definitions / "digits.py").write_text("", "utf-8")
    stub = StepStub.create(tmp_path / "stub")
    stub.answers(publish=succeeded(version=3, digest=DIGEST))
    monkeypatch.setenv("SLIPWAY_DEFINITIONS", str(definitions))
    monkeypatch.setenv("SLIPWAY_WORKSPACE", str(tmp_path / "workspace"))
    server = {"conn_type": "http", "host": "127.0.0.1", "port": 8501}
    monkeypatch.setenv(
        f"AIRFLOW_CONN_{model.upper()}_SERVER",
        json.dumps({**server, "extra": {"model_config_file": "/etc/models.config"}}),
    )
    file = models / f"{model}.yaml"
    file.write_text(yaml.safe_dump(_spec(model, stub, tmp_path)), "utf-8")
    yield Pipeline(model, models, stub)
    file.unlink()


def _spec(model: str, stub: StepStub, folder: Path) -> dict[str, Any]:
    spec: dict[str, Any] = yaml.safe_load(SMALLEST.format(model=model))
    spec["variants"] = {"pruned": {"prune": {}}, "lite": {"from": "pruned", "tflite": {}}}
    spec["execution"] = {"python": stub.python, "retries": 1, "retry_delay_seconds": 1}
    spec["publish"]["base_uri"] = f"file://{folder}/bucket"
    spec["serve"] = {"connection": f"{model}_server"}
    spec["rollout"]["health"] |= {
        "connection": f"{model}_prometheus",
        "interval_seconds": 1,
        "consecutive": 2,
        "timeout_seconds": 4,
    }
    return spec


@pytest.fixture
def healthy(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Prometheus that saw many requests and no error."""
    with _prometheus(pipeline, monkeypatch, errors=0.0):
        yield


@pytest.fixture
def unhealthy(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Prometheus that saw half the requests fail."""
    with _prometheus(pipeline, monkeypatch, errors=0.5):
        yield


@contextmanager
def _prometheus(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, *, errors: float
) -> Iterator[None]:
    pipeline.stub.answers(probe={"result": {"metrics": PROBED}})
    with scripted_prometheus(lambda query, _: errors if "!=" in query else 500.0) as server:
        host, port = server.server_address[:2]
        variable = f"AIRFLOW_CONN_{pipeline.model.upper()}_PROMETHEUS"
        monkeypatch.setenv(variable, json.dumps({"conn_type": "http", "host": host, "port": port}))
        yield


def test_a_build_ends_with_a_version_that_its_asset_tells(pipeline: Pipeline):
    run = pipeline.run("build")
    assert run.state == "success"
    assert set(run.states.values()) == {"success"}
    assert run.xcom("publish")["details"]["version"] == 3
    (request,) = pipeline.stub.asked("tflite")
    assert request["inputs"]["source"]["digest"] == "sha256:pruned"
    assert request["parameters"]["run_id"] == run.dag_run.run_id
    assert request["force"] is False
    assert _events(pipeline.model) == [{"model": pipeline.model, "version": 3, "digest": DIGEST}]


def test_the_ui_shows_the_request_that_the_process_got(pipeline: Pipeline):
    run = pipeline.run("build", force=True)
    (request,) = pipeline.stub.asked("prune")
    rendered = run.rendered("pruned.prune")["request"]
    shown = json.loads(rendered) if isinstance(rendered, str) else rendered
    assert shown["config"] == request["config"]
    assert shown["inputs"] == request["inputs"]
    assert shown["force"] is request["force"] is True


def test_a_variant_that_fails_for_good_is_not_tried_again_and_the_race_goes_on(
    pipeline: Pipeline,
):
    pipeline.stub.answers(tflite=failed(), publish=succeeded(version=1, digest=DIGEST))
    run = pipeline.run("build")
    assert run.states["lite.tflite"] == "failed"
    assert run.states["lite.validate"] == "upstream_failed"
    assert run.states["publish"] == "success"
    assert run.tries("lite.tflite") == 1
    assert run.xcom("lite.tflite", "failure")["kind"] == "terminal"
    (request,) = pipeline.stub.asked("benchmark")
    assert set(request["inputs"]) == {"original", "pruned"}
    (request,) = pipeline.stub.asked("select")
    results = request["results"]
    assert "of the test's own" in results["lite.tflite"]["failure"]["message"]
    assert "did not run" in results["lite.validate"]["failure"]["message"]
    assert results["pruned.prune"]["result"]["variant"] == "pruned"


def test_a_transient_failure_is_tried_again(pipeline: Pipeline):
    pipeline.stub.answers(
        prune=[failed("transient"), succeeded()], publish=succeeded(version=1, digest=DIGEST)
    )
    run = pipeline.run("build")
    assert run.state == "success"
    assert run.tries("pruned.prune") == 2
    assert run.xcom("pruned.prune", "failure") is None


def test_a_check_that_fails_lets_nothing_be_trained(pipeline: Pipeline):
    pipeline.stub.answers(check=failed())
    run = pipeline.run("build")
    assert run.state == "failed"
    assert pipeline.stub.asked("train") == []
    assert pipeline.stub.asked("benchmark") == []
    assert run.states["publish"] in {"upstream_failed", "failed"}
    assert _events(pipeline.model) == []


@pytest.mark.usefixtures("healthy")
def test_a_healthy_canary_is_promoted(pipeline: Pipeline):
    run = pipeline.run("rollout", **WANTED)
    assert run.state == "success"
    assert run.states.pop("rollback") == "skipped"
    assert run.states["stable"] == "success"
    (promote,) = pipeline.stub.asked("promote")
    assert promote["parameters"]["decision"]["verdict"] == "healthy"
    assert promote["parameters"]["rollout_id"] == run.dag_run.run_id
    for step in ("preflight", "deploy", "probe", "promote"):
        (request,) = pipeline.stub.asked(step)
        assert request["parameters"]["version"] == 3
        assert request["parameters"]["digest"] == DIGEST
        assert request["environment"]["SLIPWAY_MODEL_SERVER_URL"] == "http://127.0.0.1:8501"
        assert request["environment"]["SLIPWAY_MODEL_CONFIG_FILE"] == "/etc/models.config"
    assert "/graph?g0.expr=" in run.xcom("health", "_link_PrometheusLink")
    for task in ("deploy", "probe", "health", "promote"):
        assert run.xcom(task, "_link_EvidenceLink").endswith(f"/rollouts/{pipeline.model}/3")
    assert run.xcom("promote", "_link_VersionLink").endswith(f"/versions/{pipeline.model}/3")


@pytest.mark.usefixtures("unhealthy")
def test_an_unhealthy_canary_is_rolled_back_and_the_run_fails(pipeline: Pipeline):
    run = pipeline.run("rollout", **WANTED)
    assert run.state == "failed"
    assert run.states["health"] == "failed"
    assert run.tries("health") == 1
    assert run.states["promote"] == "upstream_failed"
    assert run.states["rollback"] == "success"
    assert run.states["stable"] == "upstream_failed"
    assert pipeline.stub.asked("promote") == []
    (request,) = pipeline.stub.asked("rollback")
    assert request["parameters"]["decision"]["verdict"] == "unhealthy"
    assert "unhealthy" in request["parameters"]["reason"]


@pytest.mark.parametrize("step", ["deploy", "probe", "promote"])
@pytest.mark.usefixtures("healthy")
def test_whatever_fails_after_preflight_is_rolled_back(pipeline: Pipeline, step: str):
    pipeline.stub.answers(**({"probe": {"result": {"metrics": PROBED}}} | {step: failed()}))
    run = pipeline.run("rollout", **WANTED)
    assert run.state == "failed"
    assert run.states[step] == "failed"
    assert run.states["rollback"] == "success"
    (request,) = pipeline.stub.asked("rollback")
    assert "of the test's own" in request["parameters"]["reason"]


@pytest.mark.usefixtures("healthy")
def test_a_probe_that_was_only_marked_as_success_lets_nothing_be_promoted(pipeline: Pipeline):
    run = pipeline.run("rollout", by_hand="probe", **WANTED)
    assert run.states["probe"] == "success"
    assert run.states["health"] == "failed"
    assert run.xcom("health", "failure")["subject"] == "probe"
    assert run.states["rollback"] == "success"
    assert pipeline.stub.asked("promote") == []


@pytest.mark.usefixtures("healthy")
def test_a_gate_that_was_only_marked_as_success_lets_nothing_be_promoted(pipeline: Pipeline):
    run = pipeline.run("rollout", by_hand="health", **WANTED)
    assert run.states["health"] == "success"
    assert run.states["promote"] == "failed"
    assert run.xcom("promote", "failure")["subject"] == "health"
    assert run.states["rollback"] == "success"
    assert pipeline.stub.asked("promote") == []


def test_a_cleared_rollout_keeps_its_version_when_a_newer_one_was_published(
    pipeline: Pipeline, tmp_path: Path
):
    pipeline.stub.answers(preflight=succeeded(already_stable=True))
    bucket = open_store(f"file://{tmp_path}/bucket")
    for content in ("first", "second"):
        (tmp_path / content).mkdir()
        (tmp_path / content / "saved_model.pb").write_text(content, "utf-8")
    publish(bucket, pipeline.model, tmp_path / "first", variant="original", metrics={}, golden=b"")
    run = pipeline.run("rollout")
    publish(bucket, pipeline.model, tmp_path / "second", variant="original", metrics={}, golden=b"")
    pipeline.again("rollout", run, "preflight")
    before, after = (request["parameters"] for request in pipeline.stub.asked("preflight"))
    assert before["version"] == 1
    assert after == before


@pytest.mark.usefixtures("healthy")
def test_where_engines_do_not_fit_all_that_follows_works_on_the_fallback(pipeline: Pipeline):
    taken = {"version": 2, "digest": "e" * 64}
    pipeline.stub.answers(
        preflight=succeeded(already_stable=False, instead_of=3, **taken),
        probe={"result": {"metrics": PROBED}},
    )
    run = pipeline.run("rollout", **WANTED)
    assert run.state == "success"
    for step in ("deploy", "probe", "promote"):
        (request,) = pipeline.stub.asked(step)
        assert {name: request["parameters"][name] for name in taken} == taken
    pipeline.again("rollout", run, "preflight")
    asked = [request["parameters"]["version"] for request in pipeline.stub.asked("preflight")]
    assert asked == [3, 2]


def test_preflight_that_fails_rolls_nothing_back(pipeline: Pipeline):
    pipeline.stub.answers(preflight=failed())
    run = pipeline.run("rollout", **WANTED)
    assert run.state == "failed"
    assert run.states["deploy"] == "upstream_failed"
    assert run.states["rollback"] == "skipped"
    assert pipeline.stub.asked("rollback") == []


def test_a_version_that_is_stable_already_is_left_alone(pipeline: Pipeline):
    pipeline.stub.answers(preflight=succeeded(already_stable=True))
    run = pipeline.run("rollout", **WANTED)
    assert run.state == "success"
    states = run.states
    assert states.pop("preflight") == "success"
    assert set(states.values()) == {"skipped"}
    assert run.xcom("preflight")["details"]["already_stable"] is True


def test_without_a_published_version_there_is_nothing_to_roll_out(pipeline: Pipeline):
    run = pipeline.run("rollout")
    assert run.state == "failed"
    failure = run.xcom("preflight", "failure")
    assert failure["kind"] == "terminal"
    assert f"no version of {pipeline.model} is published" in failure["message"]


def test_without_a_connection_the_task_says_which_one_is_missing(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv(f"AIRFLOW_CONN_{pipeline.model.upper()}_SERVER")
    run = pipeline.run("rollout", **WANTED)
    assert run.state == "failed"
    failure = run.xcom("preflight", "failure")
    assert f"{pipeline.model}_server" in failure["message"]
    assert pipeline.stub.asked("preflight") == []


def _events(model: str) -> list[dict[str, Any]]:
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        wanted = select(AssetEvent).where(
            AssetEvent.asset_id == AssetModel.id, AssetModel.name == model
        )
        return [event.extra for event in session.scalars(wanted)]


def test_a_run_for_some_variants_skips_the_others(pipeline: Pipeline):
    run = pipeline.run("build", variants=["pruned"])
    assert run.state == "success"
    skipped = {task for task, state in run.states.items() if state == "skipped"}
    assert skipped == {"lite.tflite", "lite.validate"}
    [request] = pipeline.stub.asked("select")
    assert "skipped" in request["results"]["lite.tflite"]["failure"]["hint"]


def test_a_chosen_variant_brings_those_that_it_is_made_from(pipeline: Pipeline):
    run = pipeline.run("build", variants=["lite"])
    assert set(run.states.values()) == {"success"}


def test_a_build_that_only_publishes_says_so_to_the_rollout(pipeline: Pipeline):
    pipeline.run("build", skip_rollout=True)
    assert _events(pipeline.model)[-1]["rollout"] is False


def test_a_rollback_promotes_an_older_version_without_a_gate(pipeline: Pipeline, tmp_path: Path):
    _published(pipeline, tmp_path)
    run = pipeline.run("rollback", version=1)
    assert run.state == "success"
    assert run.states["withdraw"] == "skipped"
    [request] = pipeline.stub.asked("promote")
    assert request["parameters"]["version"] == 1
    assert request["parameters"]["allow_older"] is True
    assert "decision" not in request["parameters"]
    [probe] = pipeline.stub.asked("probe")
    assert probe["config"]["rollout"]["probe"]["requests"] == 0


def test_a_rollback_whose_answers_are_wrong_is_withdrawn(pipeline: Pipeline, tmp_path: Path):
    _published(pipeline, tmp_path)
    pipeline.stub.answers(probe=failed())
    run = pipeline.run("rollback", version=1)
    assert run.state == "failed"
    assert run.states["withdraw"] == "success"
    assert pipeline.stub.asked("promote") == []


def test_a_rollback_whose_probe_was_only_marked_as_success_promotes_nothing(
    pipeline: Pipeline, tmp_path: Path
):
    _published(pipeline, tmp_path)
    run = pipeline.run("rollback", by_hand="probe", version=1)
    assert run.state == "failed"
    assert run.xcom("promote", "failure")["subject"] == "probe"
    assert pipeline.stub.asked("promote") == []


def test_a_failed_run_is_told_to_whom_the_spec_names(pipeline: Pipeline, tmp_path: Path):
    file = pipeline.models / f"{pipeline.model}.yaml"
    spec = yaml.safe_load(file.read_text("utf-8"))
    told = tmp_path / "told"
    arguments = {"file": str(told), "text": "{{ slipway.message }}"}
    spec["alerts"] = [{"notifier": "support.told.Told", "arguments": arguments}]
    file.write_text(yaml.safe_dump(spec), "utf-8")
    pipeline.stub.answers(check=failed())
    assert pipeline.run("build").state == "failed"
    text = told.read_text("utf-8")
    assert f"{pipeline.model}: {pipeline.model}__build run" in text
    assert "Still serving: nothing" in text
    assert "What to do: " in text


@pytest.mark.parametrize(
    ("kind", "first", "conf", "meant"),
    [
        ("build", "check", {"skip_rolout": True}, "skip_rollout"),
        ("build", "check", {"variant": ["lite"]}, "variants"),
        ("rollout", "preflight", {"versoin": 3}, "version"),
        ("rollback", "preflight", {"version": 3, "digset": DIGEST}, "version"),
        ("adopt", "adopt", {"version": 3, "force": True}, "version"),
    ],
)
def test_a_parameter_that_the_form_does_not_have_is_refused_before_any_work(
    pipeline: Pipeline, kind: str, first: str, conf: dict[str, Any], meant: str
):
    pipeline.stub.answers(select=failed())  # as where no variant was made
    run = pipeline.run(kind, **conf)
    assert run.state == run.states[first] == "failed"
    assert run.tries(first) == 1
    failure = run.xcom(first, "failure")
    assert failure["kind"] == "terminal"
    assert f"has no parameter {list(conf)[-1]!r}; the nearest is {meant!r}" in failure["message"]
    assert meant in failure["hint"]
    assert [pipeline.stub.asked(step) for step in (first, "train", "deploy")] == [[], [], []]


def _published(pipeline: Pipeline, folder: Path) -> None:
    exported = folder / "exported"
    exported.mkdir()
    (exported / "saved_model.pb").write_bytes(b"graph")
    bucket = open_store(f"file://{folder}/bucket")
    publish(bucket, pipeline.model, exported, variant="original", metrics={}, golden=b"")


def test_an_adoption_names_the_version_to_whoever_waits_for_the_model(pipeline: Pipeline):
    pipeline.stub.answers(adopt=succeeded(version=7, digest=DIGEST))
    run = pipeline.run("adopt", version=7)
    assert run.state == "success"
    [request] = pipeline.stub.asked("adopt")
    assert request["parameters"]["version"] == 7
    assert _events(pipeline.model)[-1]["version"] == 7
