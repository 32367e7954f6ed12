"""Airflow connections as environment variables of a step's process.

A connection wins. Without it the worker's own environment is taken, if it holds what is needed.
Nothing from here may be logged: the values are secrets.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException
from pydantic import ValidationError

from slipway.errors import TerminalError
from slipway.rollout.target import (
    MODEL_BASE_PATH,
    MODEL_CONFIG_FILE,
    MODEL_SERVER_URL,
    PROMETHEUS_URL,
)
from slipway.storage.credentials import CONNECTION
from slipway.storage.google_credentials import EMULATOR, KEY_FILE, KEY_JSON
from slipway_airflow.hooks.aws import aws_environment
from slipway_airflow.hooks.google import google_environment

if TYPE_CHECKING:
    from airflow.sdk import Connection

_AWS_OWN = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)
_GOOGLE_OWN = (KEY_FILE, KEY_JSON, EMULATOR)
_MODEL_SERVER_EXTRA = {
    "model_config_file": MODEL_CONFIG_FILE,
    "model_base_path": MODEL_BASE_PATH,
}


def bucket_environment(connection_id: str, base_uri: str) -> dict[str, str]:
    """The variables that open a bucket as its connection says; nothing for a local folder.

    ``s3://``: see `aws_environment`. ``gs://``: see `google_environment`.

    Raises:
        TerminalError: if there is neither the connection nor credentials in the environment, or
            the connection cannot be used.
        TransientError: if a token service does not answer.
    """
    own: tuple[str, ...]
    if base_uri.startswith("gs://"):
        read, own, variable = google_environment, _GOOGLE_OWN, KEY_FILE
    elif base_uri.startswith("s3://"):
        read, own, variable = aws_environment, _AWS_OWN, "AWS_ACCESS_KEY_ID"
    else:
        return {}
    connection = _find(connection_id)
    if connection is None:
        if any(os.environ.get(name) for name in own):
            return {}
        raise _missing(connection_id, f"the bucket of {base_uri}", variable)
    try:
        return {CONNECTION: connection_id, **read(connection)}
    except ValidationError as error:
        fields = ", ".join(str(problem["loc"][0]) for problem in error.errors() if problem["loc"])
        raise TerminalError(
            f"the connection {connection_id} has values of the wrong kind for: {fields}",
            hint="give text where text belongs; docs/connections.md has every field",
            subject=connection_id,
        ) from None


def console_url(connection_id: str) -> str:
    """Where a bucket is shown that is not the cloud's own: `console_url` in the extra field."""
    connection = _find(connection_id)
    return str(connection.extra_dejson.get("console_url") or "") if connection else ""


def model_server_environment(connection_id: str) -> dict[str, str]:
    """Address of the model server's REST API, its model config file and its own view of the bucket.

    The last two are `model_config_file` and `model_base_path` in the connection's extra field.

    Raises:
        TerminalError: if there is neither the connection nor SLIPWAY_MODEL_SERVER_URL, or the
            connection names no host.
    """
    connection = _find(connection_id)
    if connection is None:
        if os.environ.get(MODEL_SERVER_URL):
            return {}
        raise _missing(connection_id, "the model server", MODEL_SERVER_URL)
    extra = connection.extra_dejson
    named = {variable: extra.get(field) for field, variable in _MODEL_SERVER_EXTRA.items()}
    own = {variable: str(value) for variable, value in named.items() if value}
    return {MODEL_SERVER_URL: http_address(connection), **own}


def prometheus(connection_id: str) -> tuple[str, tuple[str, str] | None]:
    """Address of Prometheus, and user and password if the connection has a login.

    Raises:
        TerminalError: if there is neither the connection nor SLIPWAY_PROMETHEUS_URL, or the
            connection names no host.
    """
    return _prometheus(connection_id, _find(connection_id))


async def async_prometheus(connection_id: str) -> tuple[str, tuple[str, str] | None]:
    """As `prometheus`, for the triggerer's event loop."""
    try:
        connection = await BaseHook.aget_connection(connection_id)
    except AirflowNotFoundException:
        connection = None
    return _prometheus(connection_id, connection)


def http_address(connection: Connection) -> str:
    """The address that an HTTP connection names: http(s)://host:port, without credentials.

    Raises:
        TerminalError: if it names no host.
    """
    host = (connection.host or "").rstrip("/")
    if not host:
        raise TerminalError(
            f"the connection {connection.conn_id} names no host",
            hint="set its host, and its port if there is one",
            subject=connection.conn_id,
        )
    if "://" not in host:
        host = f"{connection.schema or 'http'}://{host}"
    return f"{host}:{connection.port}" if connection.port else host


def _prometheus(
    connection_id: str, connection: Connection | None
) -> tuple[str, tuple[str, str] | None]:
    if connection is None:
        address = os.environ.get(PROMETHEUS_URL)
        if address:
            return address.rstrip("/"), None
        raise _missing(connection_id, "Prometheus", PROMETHEUS_URL)
    login = (connection.login, connection.password or "") if connection.login else None
    return http_address(connection), login


def _find(connection_id: str) -> Connection | None:
    try:
        return BaseHook.get_connection(connection_id)
    except AirflowNotFoundException:
        return None


def _missing(connection_id: str, of: str, variable: str) -> TerminalError:
    return TerminalError(
        f"there is no Airflow connection {connection_id} for {of}",
        hint=f"add it, for example as AIRFLOW_CONN_{connection_id.upper()}, or set {variable}",
        subject=connection_id,
    )
