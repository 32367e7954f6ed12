"""A Kubernetes connection as what the library takes: a kubeconfig, or the pod's own account."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from slipway.errors import TerminalError
from slipway.kubernetes.access import KUBECONFIG
from slipway_airflow.hooks.extra import extra_of

if TYPE_CHECKING:
    from airflow.sdk import Connection

_PREFIX = "extra__kubernetes__"  # how older Airflows stored the same fields
_IN_CLUSTER = "KUBERNETES_SERVICE_HOST"
_ONE_OF = ("in_cluster", "kube_config_path", "kube_config")


def kubernetes_environment(connection_id: str, folder: Path) -> dict[str, str]:
    """The variables with which the library finds the cluster of a connection.

    Read from the extra field, as Airflow's own provider does: in_cluster, or kube_config_path, or
    kube_config (a kubeconfig as JSON or YAML), and cluster_context. A connection that says none of
    them means $KUBECONFIG, ~/.kube/config, or the cluster that the worker runs in.

    Args:
        connection_id: The connection. Without it the worker's own environment is taken.
        folder: Where a kubeconfig may be written; it may hold secrets, so the caller removes it.

    Raises:
        TerminalError: there is neither the connection nor a cluster in the environment, or the
            connection cannot be used.
    """
    try:
        connection = BaseHook.get_connection(connection_id)
    except AirflowNotFoundException:
        return _of_worker(connection_id)
    return _environment(connection, folder)


async def async_kubernetes_environment(connection_id: str, folder: Path) -> dict[str, str]:
    """As `kubernetes_environment`, for the triggerer's event loop."""
    try:
        connection = await BaseHook.aget_connection(connection_id)
    except AirflowNotFoundException:
        return _of_worker(connection_id)
    return _environment(connection, folder)


def _of_worker(connection_id: str) -> dict[str, str]:
    if os.environ.get(KUBECONFIG) or os.environ.get(_IN_CLUSTER):
        return {}
    raise TerminalError(
        f"there is no Airflow connection {connection_id} for the Kubernetes cluster",
        hint=f"add it, for example as AIRFLOW_CONN_{connection_id.upper()}, or set {KUBECONFIG}",
        subject=connection_id,
    )


def _environment(connection: Connection, folder: Path) -> dict[str, str]:
    extra = extra_of(connection)
    found = {name: _field(extra, name) for name in _ONE_OF}
    given = [name for name, value in found.items() if value]
    if len(given) > 1:
        raise _unusable(connection, f"sets {' and '.join(given)}", "set one of them")
    context = _field(extra, "cluster_context")
    if found["in_cluster"]:
        return {KUBECONFIG: ""}
    if found["kube_config"]:
        return _written(connection, found["kube_config"], context, folder)
    path = Path(found["kube_config_path"] or _default_path()).expanduser()
    if not path.is_file():
        if not given and os.environ.get(_IN_CLUSTER):
            return {KUBECONFIG: ""}
        raise _unusable(
            connection,
            f"leads to the kubeconfig {path}, which is not there",
            "correct kube_config_path, or set kube_config or in_cluster",
        )
    if context:
        return _written(connection, path.read_text("utf-8"), context, folder)
    return {KUBECONFIG: str(path)}


def _field(extra: dict[str, Any], name: str) -> Any:
    return extra.get(name) or extra.get(f"{_PREFIX}{name}") or None


def _default_path() -> str:
    return os.environ.get("KUBECONFIG", "").partition(os.pathsep)[0] or "~/.kube/config"


def _written(
    connection: Connection, given: Any, context: str | None, folder: Path
) -> dict[str, str]:
    try:
        config = yaml.safe_load(given) if isinstance(given, str) else given
    except yaml.YAMLError:
        config = None
    if not isinstance(config, dict):
        raise _unusable(
            connection, "has a kube_config that is no kubeconfig", "give it as JSON or YAML"
        )
    if context:
        known = [str(one.get("name")) for one in config.get("contexts") or ()]
        if context not in known:
            raise _unusable(
                connection,
                f"names the context {context}, which its kubeconfig does not have",
                f"use one of: {', '.join(known)}",
            )
        config = {**config, "current-context": context}
    file = folder / "kubeconfig.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(config), "utf-8")
    return {KUBECONFIG: str(file)}


def _unusable(connection: Connection, found: str, hint: str) -> TerminalError:
    return TerminalError(
        f"the connection {connection.conn_id} {found}", hint=hint, subject=connection.conn_id
    )
