"""A Google Cloud connection as environment variables; the values are secrets, never log them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.storage.google_credentials import KEY_FILE, KEY_JSON, GoogleCredentials
from slipway_airflow.hooks.extra import extra_of

if TYPE_CHECKING:
    from airflow.sdk import Connection

_PREFIX = "extra__google_cloud_platform__"  # how older Airflows stored the same fields
_PUBLIC = "https://storage.googleapis.com"
_NOT_DONE = ("key_secret_name", "idp_issuer_url")
_ONE_OF = ("keyfile_dict", "key_path", "credential_config_file", "is_anonymous")


def google_environment(connection: Connection) -> dict[str, str]:
    """The Google variables for a bucket.

    Read from the extra field: keyfile_dict, or key_path, or credential_config_file (workload
    identity; path or JSON), or is_anonymous; impersonation_chain; project; quota_project_id;
    endpoint_url. Without any of the first three the platform says who we are: application default
    credentials, the metadata server. Keys are handed on, not tokens, so a long step can renew them.

    Raises:
        TerminalError: if the connection asks for a secret manager or client credentials, or for
            two identities at once.
    """
    extra = extra_of(connection)

    def field(name: str) -> Any:
        return extra.get(name) or extra.get(f"{_PREFIX}{name}") or None

    for name in _NOT_DONE:
        if field(name):
            raise TerminalError(
                f"the connection {connection.conn_id} sets {name}, which Slipway does not follow",
                hint="put a key into keyfile_dict or key_path, or give the worker the identity",
                subject=connection.conn_id,
            )
    given = [name for name in _ONE_OF if field(name)]
    if len(given) > 1:
        raise TerminalError(
            f"the connection {connection.conn_id} sets {' and '.join(given)}",
            hint="set one of them",
            subject=connection.conn_id,
        )
    config = field("credential_config_file")
    key = field("keyfile_dict") or (config if _is_json(config) else None)
    path = field("key_path") or (config if not _is_json(config) else None)
    anonymous = bool(field("is_anonymous"))
    endpoint = field("endpoint_url") or (_PUBLIC if anonymous else None)
    credentials = GoogleCredentials.model_validate(
        {
            "key_json": json.dumps(key) if isinstance(key, dict) else key,
            "key_file": path if key is None else None,
            "impersonate": _chain(field("impersonation_chain")),
            "project": field("project"),
            "quota_project": field("quota_project_id"),
            "endpoint_url": endpoint,
            "anonymous": anonymous,
        }
    )
    environment = credentials.to_environment()
    if key or path:
        # The worker's own identity must not take the place of the connection's.
        environment = {KEY_JSON: "", KEY_FILE: ""} | environment
    return environment


def _chain(given: Any) -> tuple[str, ...]:
    names = given.split(",") if isinstance(given, str) else given or ()
    return tuple(str(name).strip() for name in names)


def _is_json(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, str) and value.lstrip().startswith("{"))
