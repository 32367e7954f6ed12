"""The REST API over real HTTP: forms, codes, errors."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from support.served import FAST, place, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.served import Client

ROWS = {
    "instances": [
        {"age": 17, "city": "Ulm", "scores": [0.5, 1.0]},
        {"age": 40, "city": {"b64": "UGFyaXM="}, "scores": [2, 3]},
    ]
}
COLUMNS = {
    "inputs": {
        "age": [17, 40],
        "city": ["Ulm", "Paris"],
        "scores": [[0.5, 1.0], [2, 3]],
    }
}


@pytest.fixture(scope="module")
def client(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    base = tmp_path_factory.mktemp("rest") / "m"
    base.mkdir()
    place(models / "mixed", base / "3")
    with serving(replace(FAST, model_name="m", model_base_path=str(base))) as client:
        client.wait(3)
        yield client


def _b64(text: str) -> dict[str, str]:
    return {"b64": base64.b64encode(text.encode()).decode()}


def test_rows_of_several_named_inputs_with_strings(client: Client) -> None:
    response = client.predict("m", ROWS)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "predictions": [
            {"adult": False, "greeting": "to Ulm", "raw_bytes": _b64("Ulm"), "total": 18.5},
            {"adult": True, "greeting": "to Paris", "raw_bytes": _b64("Paris"), "total": 45.0},
        ]
    }


def test_columns_of_several_named_inputs_with_strings(client: Client) -> None:
    response = client.predict("m/versions/3", COLUMNS)
    assert response.json() == {
        "outputs": {
            "adult": [False, True],
            "greeting": ["to Ulm", "to Paris"],
            "raw_bytes": [_b64("Ulm"), _b64("Paris")],
            "total": [18.5, 45.0],
        }
    }


def test_a_signature_is_chosen_by_name_and_infinity_is_a_token(client: Client) -> None:
    response = client.predict("m", {"signature_name": "quotient", "instances": [4.0, 0.0]})
    assert response.status_code == 200
    assert "[0.25, Infinity]" in response.text


def test_status_has_the_form_of_the_real_server(client: Client) -> None:
    response = client.http.get("/v1/models/m/versions/3")
    assert response.json() == {
        "model_version_status": [
            {
                "version": "3",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }


def test_metadata_has_the_signatures_in_the_form_of_the_real_server(client: Client) -> None:
    found = client.http.get("/v1/models/m/metadata").json()
    assert found["model_spec"] == {"name": "m", "signature_name": "", "version": "3"}
    signatures = found["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "quotient"} <= signatures.keys()
    serving_default = signatures["serving_default"]
    assert serving_default["method_name"] == "tensorflow/serving/predict"
    scores = serving_default["inputs"]["scores"]
    assert scores["dtype"] == "DT_FLOAT"
    assert scores["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}, {"size": "2", "name": ""}],
        "unknown_rank": False,
    }
    assert serving_default["inputs"]["city"]["dtype"] == "DT_STRING"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("POST", "nosuch:predict", ROWS, 404, "Servable not found for request: Latest(nosuch)"),
        ("POST", "nosuch:predict", {}, 404, "Servable not found for request: Latest(nosuch)"),
        (
            "POST",
            "m/versions/9:predict",
            ROWS,
            404,
            "Servable not found for request: Specific(m, 9)",
        ),
        ("POST", "m/labels/x:predict", ROWS, 400, "Unrecognized servable version label: x"),
        ("POST", "m:predict", {}, 400, "Missing 'inputs' or 'instances' key"),
        (
            "POST",
            "m:predict",
            {"signature_name": "nosuch", "instances": [1]},
            400,
            'Serving signature name: "nosuch" not found in signature def',
        ),
        ("POST", "m:predict", {"inputs": {"age": [1]}}, 400, "Missing named input: city"),
        (
            "POST",
            "m:predict",
            {"signature_name": "quotient", "instances": ["a"]},
            400,
            "is not of expected type: float",
        ),
        ("POST", "m:classify", {"examples": [{}]}, 501, ":classify is not offered"),
        ("POST", "m:regress", {"examples": [{}]}, 501, ":regress is not offered"),
        ("POST", "m", {}, 400, "Malformed request: POST /v1/models/m"),
        ("GET", "m:predict", None, 400, "Malformed request: GET /v1/models/m:predict"),
        ("GET", "nosuch", None, 404, "Could not find any versions of model nosuch"),
        ("GET", "m/versions/9", None, 404, "Could not find version 9 of model m"),
        ("GET", "m/versions/99999999999999999999", None, 400, "to numeric"),
        ("GET", "nosuch/metadata", None, 404, "Servable not found for request: Latest(nosuch)"),
    ],
)
def test_errors_have_the_codes_and_words_of_the_real_server(
    client: Client, method: str, path: str, body: Any, status: int, error: str
) -> None:
    response = client.http.request(method, f"/v1/models/{path}", json=body)
    assert response.status_code == status
    assert error in response.json()["error"]


def test_a_body_that_is_no_json_is_a_bad_request(client: Client) -> None:
    response = client.http.post("/v1/models/m:predict", content=b"{'instances': ")
    assert response.status_code == 400
    assert response.json()["error"].startswith("JSON Parse error")


def test_sizes_that_do_not_fit_together_are_a_bad_request_of_the_runtime(client: Client) -> None:
    body = {"inputs": {**COLUMNS["inputs"], "age": [1, 2, 3]}}
    response = client.predict("m", body)
    assert response.status_code == 400
    assert "Incompatible shapes" in response.json()["error"]


def test_paths_outside_the_api_are_not_found(client: Client) -> None:
    assert client.http.get("/").status_code == 404
    assert client.http.get("/v1/models").json() == {"error": "Missing model name in request."}


def test_without_a_monitoring_config_there_are_no_metrics(client: Client) -> None:
    assert client.http.get("/monitoring/prometheus/metrics").status_code == 404
