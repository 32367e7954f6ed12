"""What the API server refuses, as terminal or transient errors that name verb and resource."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from slipway.errors import SlipwayError, TerminalError, TransientError

_BUSY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


class OutdatedError(TransientError):
    """The object has changed since it was read, or is there already: look again."""


def api_error(error: Exception, *, verb: str, resource: str, namespace: str) -> SlipwayError:
    """The error for a call that failed.

    Args:
        error: The client's ApiException, or urllib3's error.
        verb: get, list, create, patch or delete.
        resource: Plural and name, such as deployments/digits-v2.
        namespace: Where.
    """
    status = getattr(error, "status", None)
    where = f"{verb} {resource} in namespace {namespace}"
    if status is None:
        return TransientError(
            f"the Kubernetes API did not answer: {where}: {type(error).__name__}: {error}",
            hint="check the address in the kubeconfig and that the API server runs",
            subject=resource,
        )
    answer = _status(error)
    said = str(answer.get("message") or getattr(error, "reason", "") or status)
    return _by_status(int(status), where, said, resource, answer)


def _by_status(
    status: int, where: str, said: str, resource: str, answer: dict[str, Any]
) -> SlipwayError:
    if status == HTTPStatus.UNAUTHORIZED:
        return TerminalError(
            f"the Kubernetes API does not accept the credentials: {where}",
            hint="renew the kubeconfig or the service account's token",
            subject=resource,
        )
    if status == HTTPStatus.FORBIDDEN:
        quota = "exceeded quota" in said
        return TerminalError(
            f"{'over quota' if quota else 'may not'} {where}: {said}",
            hint="raise the quota or lower resources or replicas"
            if quota
            else "grant this verb on this resource; docs/rollouts.md has a Role with all of them",
            subject=resource,
        )
    if status == HTTPStatus.CONFLICT:
        return OutdatedError(f"{where}: {said}", hint="look again", subject=resource)
    if status in _BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return TransientError(
            f"the Kubernetes API could not {where} now: HTTP {status}: {said}",
            hint="try again; read the API server's log if it stays so",
            subject=resource,
        )
    return TerminalError(
        f"the Kubernetes API refuses to {where}: HTTP {status}: {said}",
        hint="correct the spec's serve.kubernetes or the cluster's admission rules",
        subject=resource,
        details={"reason": answer.get("reason")},
    )


def _status(error: Exception) -> dict[str, Any]:
    try:
        found = json.loads(getattr(error, "body", "") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
