"""A run's parameter `incoming` on its way from Airflow to the step that fetches the model."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import ParamValidationError

from slipway.spec.loader import load_spec
from slipway_airflow.dag_builder import build_dag
from support.specs import write_spec

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import DAG

DROPPED = {"uri": "s3://drops/tiny/today", "digest": "a" * 64}
INCOMING = "incoming: {uri: 's3://drops/tiny', connection: aws_drops}\n"


@pytest.fixture
def dag(tmp_path: Path) -> DAG:
    file = write_spec(tmp_path, extra=INCOMING)
    return build_dag(load_spec(file), file)


def context(**params: Any) -> Any:
    return {"params": params, "run_id": "run", "ti": SimpleNamespace(run_id="run")}


@pytest.mark.parametrize("given", [None, DROPPED])
def test_a_run_may_be_for_a_dropped_model(dag: DAG, given: Any):
    param = dag.params.get_param("incoming")
    assert param.resolve(given) == given


@pytest.mark.parametrize(
    "given",
    [
        "s3://drops/tiny/today",
        {},
        {"uri": "s3://drops/tiny/today"},
        {**DROPPED, "digest": "short"},
        {**DROPPED, "more": 1},
    ],
)
def test_a_parameter_that_does_not_fit_is_refused_when_the_run_is_made(dag: DAG, given: Any):
    with pytest.raises(ParamValidationError):
        dag.params.get_param("incoming").resolve(given)


def test_a_model_that_is_trained_takes_no_such_parameter(tmp_path: Path):
    file = write_spec(tmp_path)
    assert "incoming" not in build_dag(load_spec(file), file).params


def test_the_import_opens_the_place_of_the_drops_with_its_own_connection(
    dag: DAG, monkeypatch: pytest.MonkeyPatch
):
    login = {"conn_type": "aws", "login": "drops", "password": "of the drops"}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DROPS", json.dumps(login))
    task: Any = dag.get_task("original.import")
    assert task._environment()["AWS_ACCESS_KEY_ID"] == "drops"
    assert task._parameters(context(incoming=DROPPED))["incoming"] == DROPPED
    assert "incoming" not in task._parameters(context())
