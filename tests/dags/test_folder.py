"""A folder of specs, some of which cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from airflow.sdk.definitions.context import AirflowParsingContext
from airflow.serialization.serialized_objects import DagSerialization

from slipway.errors import TerminalError
from slipway.spec.loader import load_spec
from slipway_airflow import dag_builder
from slipway_airflow.dag_builder import BROKEN_TAG, build_dags
from slipway_airflow.failures import RETRY_POLICY
from support.specs import write_spec

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ("build", "rollout", "rollback", "adopt")


def parsing_for(monkeypatch: pytest.MonkeyPatch, dag_id: str | None) -> list[str]:
    """As on a worker that is about to run a task of that DAG; the specs that are read."""
    read: list[str] = []

    def watched(file: Path):  # noqa: ANN202  # whatever load_spec gives
        read.append(file.stem)
        return load_spec(file)

    context = AirflowParsingContext(dag_id, "check" if dag_id else None)
    monkeypatch.setattr(dag_builder, "get_parsing_context", lambda: context)
    monkeypatch.setattr(dag_builder, "load_spec", watched)
    return read


def test_a_broken_spec_costs_its_own_model_only(tmp_path: Path):
    write_spec(tmp_path, "good")
    write_spec(tmp_path, "bad", extra="variantz: {}\n")
    dags = build_dags(tmp_path)
    assert set(dags) == {f"good__{kind}" for kind in KINDS} | {"bad__build"}
    broken = dags["bad__build"]
    assert BROKEN_TAG in broken.tags
    assert "did you mean 'variants'" in (broken.doc_md or "")
    assert "bad.yaml:" in (broken.doc_md or "")
    assert DagSerialization.from_dict(DagSerialization.to_dict(broken)).doc_md == broken.doc_md


def test_the_task_of_a_broken_spec_fails_for_good_with_the_problems(tmp_path: Path):
    write_spec(tmp_path, "bad", extra="variantz: {}\nseed: -1\n")
    (task,) = build_dags(tmp_path)["bad__build"].tasks
    with pytest.raises(TerminalError, match="2 problems") as error:
        type(task).execute.__wrapped__(task, {})
    assert task.retry_policy is RETRY_POLICY
    assert len(error.value.details["problems"]) == 2


def test_what_airflow_itself_refuses_costs_one_model_too(tmp_path: Path):
    write_spec(tmp_path, "good")
    write_spec(tmp_path, "never", extra="schedule: 99 99 * * *\n")
    write_spec(tmp_path, "context")
    dags = build_dags(tmp_path)
    assert set(dags) == {f"good__{kind}" for kind in KINDS} | {"never__build", "context__build"}
    assert "Airflow refuses it" in (dags["context__build"].doc_md or "")
    assert "never.yaml:12: schedule: no cron expression" in (dags["never__build"].doc_md or "")


def test_files_that_are_no_yaml_or_have_odd_names_are_shown(tmp_path: Path):
    write_spec(tmp_path, "good")
    (tmp_path / "my model (2).yaml").write_text("- [", "utf-8")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty.yaml").write_text("", "utf-8")
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere.yaml")
    dags = build_dags(tmp_path)
    broken = {dag_id for dag_id, dag in dags.items() if BROKEN_TAG in dag.tags}
    assert broken == {"my_model__2___build", "binary__build", "empty__build", "gone__build"}
    assert "good__build" in dags


def test_broken_defaults_are_told_by_every_model(tmp_path: Path):
    write_spec(tmp_path, "one")
    write_spec(tmp_path, "two")
    (tmp_path / "_defaults.yaml").write_text("sead: 1\n", "utf-8")
    dags = build_dags(tmp_path)
    assert set(dags) == {"one__build", "two__build"}
    assert all("_defaults.yaml:1" in (dag.doc_md or "") for dag in dags.values())


def test_an_empty_folder_has_no_dags(tmp_path: Path):
    assert build_dags(tmp_path) == {}


@pytest.mark.parametrize("kind", ["build", "rollout"])
def test_a_worker_reads_only_the_model_whose_task_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
):
    for name in ("one", "two", "two__build"):
        write_spec(tmp_path, name)
    read = parsing_for(monkeypatch, f"two__{kind}")
    assert set(build_dags(tmp_path)) == {f"two__{kind}" for kind in KINDS}
    assert read == ["two"]


def test_a_worker_with_a_dag_of_no_file_reads_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_spec(tmp_path, "one")
    (tmp_path / "my model.yaml").write_text("model: 1\n", "utf-8")
    read = parsing_for(monkeypatch, "my_model__build")
    assert "my_model__build" in build_dags(tmp_path)
    assert set(read) == {"one", "my model"}


def test_the_dag_processor_reads_every_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("one", "two"):
        write_spec(tmp_path, name)
    read = parsing_for(monkeypatch, None)
    assert len(build_dags(tmp_path)) == 2 * len(KINDS)
    assert read == ["one", "two"]
