"""The buttons on tasks."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from slipway.contracts import StepResult
from slipway.errors import TerminalError
from slipway.spec.loader import load_spec
from slipway_airflow.links import (
    BucketLink,
    EvidenceLink,
    KubernetesLink,
    PrometheusLink,
    ReportLink,
    VersionLink,
)
from support.specs import write_spec

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.spec.model import ModelSpec

KEY: Any = None


@pytest.fixture
def spec(tmp_path: Path) -> ModelSpec:
    return load_spec(write_spec(tmp_path))


def link(cls: type, **operator: Any) -> str:
    return str(cls().get_link(SimpleNamespace(**operator), ti_key=KEY))


def test_the_report_is_found_by_its_digest(spec: ModelSpec):
    left = {"report": f"/workspace/artifacts/{'a' * 64}/report.html"}
    result = StepResult(step="select", model="tiny", details=left)
    failure = TerminalError("none is left", hint="read it", details=left)
    for ended in ({"result": result}, {"result": None, "failure": failure}):
        assert link(ReportLink, spec=spec, **ended).endswith(f"/slipway/reports/tiny/{'a' * 64}")


@pytest.mark.parametrize(("cls", "page"), [(VersionLink, "versions"), (EvidenceLink, "rollouts")])
def test_a_version_is_known_from_the_result_or_from_the_request(
    spec: ModelSpec, cls: type, page: str
):
    published = StepResult(step="publish", model="tiny", details={"version": 4})
    assert link(cls, spec=spec, result=published).endswith(f"/slipway/{page}/tiny/4")
    request = {"parameters": {"version": 5}}
    failed = link(cls, spec=spec, result=None, request=request)
    assert failed.endswith(f"/slipway/{page}/tiny/5")


def test_a_task_that_only_knows_what_preflight_settled_shows_that_version(spec: ModelSpec):
    settled = {"version": 6, "digest": "d"}
    assert link(EvidenceLink, spec=spec, settled=settled).endswith("/slipway/rollouts/tiny/6")


def test_without_credentials_the_bucket_has_no_link(
    spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
):
    for name in ("AIRFLOW_CONN_AWS_DEFAULT", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    assert link(BucketLink, spec=spec, result=None, request={"parameters": {}}) == ""


LINKS = [ReportLink, VersionLink, BucketLink, EvidenceLink, PrometheusLink, KubernetesLink]


@pytest.mark.parametrize("cls", LINKS)
def test_a_task_that_came_to_nothing_has_no_link(spec: ModelSpec, cls: type):
    assert link(cls, spec=spec, result=None, request=None, queries={}) == ""


def test_what_is_published_leads_to_the_report_of_its_selection(spec: ModelSpec):
    selected = {"report": f"/workspace/artifacts/{'a' * 64}/report.html"}
    result = StepResult(step="publish", model="tiny", details={"version": 4})
    found = link(ReportLink, spec=spec, result=result, selected=selected)
    assert found.endswith(f"/slipway/reports/tiny/{'a' * 64}")


@pytest.mark.parametrize(
    ("strategy", "name"), [("in_place", "tiny"), ("canary", "tiny-v4"), ("blue_green", "tiny-v4")]
)
def test_a_dashboard_shows_the_deployment_that_serves_the_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str, name: str
):
    extra = f"  strategy: {strategy}\nserve: {{kubernetes: {{namespace: models}}}}\n"
    spec = load_spec(write_spec(tmp_path, extra=extra))
    result = StepResult(step="deploy", model="tiny", details={"version": 4})
    assert link(KubernetesLink, spec=spec, result=result) == ""
    page = {"console_url": "https://k8s.example/#/deployment/{namespace}/{name}"}
    connection = {"conn_type": "kubernetes", "extra": page}
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps(connection))
    found = link(KubernetesLink, spec=spec, result=result)
    assert found == f"https://k8s.example/#/deployment/models/{name}"


def test_every_query_is_a_graph(spec: ModelSpec, monkeypatch: pytest.MonkeyPatch):
    connection = {"conn_type": "http", "host": "p", "port": 9090, "login": "who", "password": "pw"}
    monkeypatch.setenv("AIRFLOW_CONN_PROMETHEUS_DEFAULT", json.dumps(connection))
    queries = {"requests": 'sum(x{a="b"})', "error_ratio": "y / x"}
    found = urlsplit(link(PrometheusLink, spec=spec, queries=queries))
    assert found.netloc == "p:9090"
    fields = parse_qs(found.query)
    assert [fields[f"g{index}.expr"] for index in range(2)] == [[q] for q in queries.values()]
    assert fields["g0.range_input"] == ["3m"]


def test_another_servers_console_is_named_by_its_connection(
    spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
):
    extra = {
        "endpoint_url": "http://127.0.0.1:8333",
        "console_url": "https://console.example/{bucket}/{prefix}",
    }
    connection = {"conn_type": "aws", "login": "who", "password": "pw", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    published = StepResult(step="publish", model="tiny", details={"version": 4})
    tidied = StepResult(step="gc", model="tiny", details={})
    found = [link(BucketLink, spec=spec, result=ended) for ended in (published, tidied)]
    assert found == [f"https://console.example/models/tiny/{end}" for end in ("4/", "")]
    failed = link(BucketLink, spec=spec, result=None, request={"parameters": {"run_id": "1"}})
    assert failed == "https://console.example/models/tiny/"


def test_a_bucket_of_the_clouds_own_is_shown_in_its_console(
    spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
):
    published = StepResult(step="publish", model="tiny", details={"version": 4})
    extra = {"region_name": "eu-west-1"}
    connection = {"conn_type": "aws", "login": "who", "password": "pw", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    found = urlsplit(link(BucketLink, spec=spec, result=published))
    assert found.netloc == "console.aws.amazon.com"
    assert parse_qs(found.query) == {"region": ["eu-west-1"], "prefix": ["tiny/4/"]}
    extra["endpoint_url"] = "http://127.0.0.1:8333"
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    assert link(BucketLink, spec=spec, result=published) == ""
