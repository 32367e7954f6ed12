"""The pages behind the links, in Airflow's own API server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from fastapi.testclient import TestClient

from slipway.serving.layout import Layout
from slipway.serving.publish import publish
from slipway.storage import open_store
from support.airflow_home import with_database
from support.specs import SMALLEST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIGEST = "a" * 64


@pytest.fixture(scope="module")
def server() -> Iterator[TestClient]:
    """Airflow's API server, to somebody who has not logged in."""
    with_database()
    from airflow.api_fastapi.app import create_app

    with TestClient(create_app(apps="core"), follow_redirects=False) as client:
        yield client


def known(server: TestClient, role: str | None) -> TestClient:
    """The same, to somebody who has logged in."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="somebody", role=role))
    headers = {"Authorization": f"Bearer {token}"}
    return TestClient(server.app, headers=headers, follow_redirects=False)


@pytest.fixture(scope="module")
def client(server: TestClient) -> TestClient:
    """The API server, to a reader."""
    return known(server, "viewer")


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A report in the workspace."""
    monkeypatch.setenv("SLIPWAY_WORKSPACE", str(tmp_path))
    folder = tmp_path / "artifacts" / DIGEST
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("<h1>digits</h1>", "utf-8")
    (folder / "report.json").write_text('{"model": "digits"}', "utf-8")
    return folder


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[str]:
    """A spec whose model has one version; the model's name."""
    model = "pages"
    file = with_database() / "dags" / "models" / f"{model}.yaml"
    spec = SMALLEST.format(model=model).replace("s3://models", f"file://{tmp_path}/bucket")
    file.write_text(spec, "utf-8")
    exported = tmp_path / "exported"
    exported.mkdir()
    (exported / "saved_model.pb").write_bytes(b"graph")
    store = open_store(f"file://{tmp_path}/bucket")
    published = publish(store, model, exported, variant="original", metrics={"accuracy": 0.9})
    evidence = json.dumps({"steps": [{"step": "rollback"}]}).encode()
    store.put(Layout(model).rollout(published.version, "run"), evidence)
    yield model
    file.unlink()


@pytest.mark.usefixtures("report")
def test_a_report_is_shown_to_whoever_may_read_the_dag(client: TestClient):
    answer = client.get(f"/slipway/reports/digits/{DIGEST}")
    assert answer.status_code == 200
    assert answer.text == "<h1>digits</h1>"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.usefixtures("report")
@pytest.mark.parametrize(
    "path",
    [
        f"/slipway/reports/wine/{DIGEST}",
        f"/slipway/reports/digits/{'b' * 64}",
        "/slipway/reports/digits/..",
        "/slipway/reports/digits/%2e%2e%2fresults",
        f"/slipway/reports/DIGITS/{DIGEST}",
        "/slipway/versions/no_such_model/1",
        "/slipway/nothing",
    ],
)
def test_what_is_not_there_is_not_found(client: TestClient, path: str):
    assert client.get(path).status_code == 404


@pytest.mark.usefixtures("report")
@pytest.mark.parametrize(
    "path", [f"reports/digits/{DIGEST}", "versions/digits/1", "rollouts/digits/1"]
)
def test_nobody_reads_without_a_login(server: TestClient, path: str):
    answer = server.get(f"/slipway/{path}")
    assert answer.status_code == 307
    assert "/api/v2/auth/login?next=" in answer.headers["location"]
    assert "digits" in answer.headers["location"]


@pytest.mark.usefixtures("report")
def test_who_may_not_read_the_dag_may_not_read_its_report(server: TestClient):
    answer = known(server, None).get(f"/slipway/reports/digits/{DIGEST}")
    assert answer.status_code == 403


def test_a_version_shows_its_manifest(client: TestClient, bucket: str):
    answer = client.get(f"/slipway/versions/{bucket}/1")
    assert answer.status_code == 200
    assert answer.json()["metrics"] == {"accuracy": 0.9}
    missing = client.get(f"/slipway/versions/{bucket}/9")
    assert missing.status_code == 404
    assert "slipway versions" in missing.json()["detail"]


def test_the_evidence_of_every_rollout_of_a_version_is_shown(client: TestClient, bucket: str):
    answer = client.get(f"/slipway/rollouts/{bucket}/1")
    assert answer.status_code == 200
    assert [each["steps"] for each in answer.json().values()] == [[{"step": "rollback"}]]
    assert client.get(f"/slipway/rollouts/{bucket}/2").json() == {}
