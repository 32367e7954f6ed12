"""The pages behind the links: the report, a published version, the evidence of its rollouts.

Served by Airflow's API server, to those who may read the model's DAGs.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
from airflow.api_fastapi.core_api.security import get_user
from airflow.configuration import conf
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from slipway.errors import SlipwayError, TransientError
from slipway.serving.layout import Layout, resolve
from slipway.spec.loader import load_spec
from slipway.workspace import default_workspace
from slipway_airflow.hooks.bucket import open_bucket

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser

    from slipway.spec.model import ModelSpec

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MODEL = re.compile(r"[a-z][a-z0-9_]{0,39}")
_NOT_FOUND, _FORBIDDEN, _UNAUTHORIZED, _UNAVAILABLE = 404, 403, 401, 503

app = FastAPI(title="Slipway", docs_url=None, redoc_url=None, openapi_url=None)


def _may_read(model: str, user: Annotated[Any, Depends(get_user)]) -> str:
    """The model's name, if the user may read its build DAG."""
    if not _MODEL.fullmatch(model):
        raise HTTPException(_NOT_FOUND, f"{model} is no name of a model")
    reader: BaseUser = user
    details = DagDetails(id=f"{model}__build")
    if not get_auth_manager().is_authorized_dag(method="GET", details=details, user=reader):
        raise HTTPException(_FORBIDDEN, f"you may not read {details.id}")
    return model


Model = Annotated[str, Depends(_may_read)]


@app.get("/reports/{model}/{digest}")
def report(model: Model, digest: str) -> HTMLResponse:
    """The report with that digest, as `select` wrote it."""
    folder = default_workspace() / "artifacts" / digest
    page = folder / "report.html"
    if not _DIGEST.fullmatch(digest) or not page.is_file() or _model_of(folder) != model:
        raise HTTPException(_NOT_FOUND, f"the workspace has no such report of {model}")
    # The page is one file without any address; it needs its own scripts and nothing else.
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox allow-scripts"
    headers = {"Content-Security-Policy": f"{policy}; script-src 'unsafe-inline'"}
    return HTMLResponse(page.read_text("utf-8"), headers=headers)


@app.get("/versions/{model}/{version}")
def published(model: Model, version: int) -> JSONResponse:
    """The manifest of a published version."""
    spec = _spec(model)
    manifest = resolve(open_bucket(spec.publish), model, version)
    return JSONResponse(manifest.model_dump(mode="json"))


@app.get("/rollouts/{model}/{version}")
def rollouts(model: Model, version: int) -> JSONResponse:
    """The evidence of every rollout of a version, by the object that holds it."""
    store = open_bucket(_spec(model).publish)
    found = {
        info.path: store.get(info.path) for info in store.list(Layout(model).rollouts(version))
    }
    return JSONResponse({path: json.loads(each.data) for path, each in found.items() if each})


@app.exception_handler(SlipwayError)
def _said(_request: Request, error: SlipwayError) -> JSONResponse:
    status = _UNAVAILABLE if isinstance(error, TransientError) else _NOT_FOUND
    return JSONResponse({"detail": str(error)}, status_code=status)


@app.exception_handler(_UNAUTHORIZED)
def _to_login(request: Request, _error: Exception) -> Response:
    """Whoever follows a link with a browser may log in and come back."""
    base = conf.get("api", "base_url", fallback="").rstrip("/")
    return RedirectResponse(f"{base}/api/v2/auth/login?{urlencode({'next': str(request.url)})}")


def _spec(model: str) -> ModelSpec:
    return load_spec(
        Path(conf.get_mandatory_value("core", "dags_folder"), "models", f"{model}.yaml")
    )


def _model_of(folder: Path) -> str | None:
    """The model that a report is about."""
    try:
        content = json.loads((folder / "report.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content.get("model") if isinstance(content, dict) else None
