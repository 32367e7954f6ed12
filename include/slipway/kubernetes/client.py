"""The Kubernetes API as Slipway uses it: plain dictionaries in and out, errors that say what."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, cast

from slipway.errors import TerminalError
from slipway.kubernetes.access import api_client, proxied
from slipway.kubernetes.errors import OutdatedError, api_error
from slipway.kubernetes.kinds import KINDS
from slipway.kubernetes.pod_log import follow, last_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slipway.rollout.endpoint import Endpoint

MANAGER = "slipway"

_TIMEOUTS_SECONDS = (5.0, 30.0)
_NOT_FOUND = 404
_CONFLICTING = re.compile(r'conflicts? with "([^"]+)"')
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"


# Within the class, `list` is its method.
Objects = list[dict[str, Any]]
Query = list[tuple[str, str]]


class Cluster:
    """One cluster's API server.

    Every call raises TerminalError for what it refuses and TransientError where it does not
    answer, with verb, resource and namespace; `OutdatedError`, which is transient, where an object
    has changed since it was read.

    Args:
        api: The official client's `ApiClient`.
    """

    def __init__(self, api: Any) -> None:
        self._api = api

    @classmethod
    def connect(cls, environ: Mapping[str, str]) -> Cluster:
        """The cluster of the kubeconfig that SLIPWAY_KUBECONFIG names, or the one we run in.

        Raises:
            TerminalError: There is neither, or the kubeconfig cannot be used.
        """
        return cls(api_client(environ))

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """An object; None if there is none of that name."""
        path = KINDS[kind].path(namespace, name)
        return self._call("get", path, f"{KINDS[kind].plural}/{name}", namespace, missing=True)

    def list(
        self,
        kind: str,
        namespace: str,
        *,
        labels: Mapping[str, str] | None = None,
        fields: str = "",
    ) -> Objects:
        """The objects with all of these labels."""
        query = [("fieldSelector", fields)] if fields else []
        if labels:
            query.append(("labelSelector", ",".join(f"{k}={v}" for k, v in labels.items())))
        entry = KINDS[kind]
        found = self._call("list", entry.path(namespace), entry.plural, namespace, query=query)
        return list((found or {}).get("items") or ())

    def apply(
        self, wanted: Mapping[str, Any], *, expect: str | None = None, dry_run: bool = False
    ) -> dict[str, Any]:
        """Server-side apply, as the field manager slipway.

        Fields of other managers are never taken from them; those that Slipway once set by another
        verb are.

        Args:
            wanted: The object, with kind, name and namespace.
            expect: resourceVersion that it must still have; "" if it must not exist yet.
            dry_run: Only ask whether the API server would take it.

        Returns:
            The object as it is now.
        """
        if expect == "":
            return self.create(wanted)
        body = json.loads(json.dumps(wanted))
        if expect is not None:
            body["metadata"]["resourceVersion"] = expect
        try:
            return self._apply(body, force=False, dry_run=dry_run)
        except OutdatedError as error:
            others = set(_CONFLICTING.findall(error.message)) - {MANAGER}
            if others:
                raise _owned_by_others(wanted, sorted(others), error) from None
            if not _CONFLICTING.search(error.message):
                raise
        return self._apply(body, force=True, dry_run=dry_run)

    def create(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object; `OutdatedError` if it is there already."""
        kind, namespace, name = _identity(wanted)
        path = KINDS[kind].path(namespace)
        what = f"{KINDS[kind].plural}/{name}" if name else KINDS[kind].plural
        query = [("fieldManager", MANAGER)]
        made = self._call("create", path, what, namespace, body=dict(wanted), query=query)
        return cast("dict[str, Any]", made)

    def patch(
        self,
        kind: str,
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        *,
        subresource: str = "",
    ) -> dict[str, Any]:
        """Merge patch of an object that exists; give metadata.resourceVersion to be fenced."""
        path = KINDS[kind].path(namespace, name, subresource)
        what = "/".join(part for part in (KINDS[kind].plural, name, subresource) if part)
        query = [("fieldManager", MANAGER)]
        found = self._call(
            "patch", path, what, namespace, body=dict(body), query=query, content=_MERGE
        )
        return cast("dict[str, Any]", found)

    def delete(
        self, kind: str, namespace: str, name: str, *, resource_version: str | None = None
    ) -> bool:
        """Delete an object and what it owns; whether it was there.

        Args:
            kind: Its kind.
            namespace: Where.
            name: Its name.
            resource_version: That it must still have.
        """
        body: dict[str, Any] = {"propagationPolicy": "Background"}
        if resource_version is not None:
            body["preconditions"] = {"resourceVersion": resource_version}
        path = KINDS[kind].path(namespace, name)
        what = f"{KINDS[kind].plural}/{name}"
        return self._call("delete", path, what, namespace, body=body, missing=True) is not None

    def may(self, verb: str, kind: str, namespace: str, subresource: str = "") -> bool:
        """Whether the credentials allow a verb on a kind, as the API server's authoriser says."""
        entry = KINDS[kind]
        attributes = {
            "verb": verb,
            "group": entry.group,
            "resource": entry.plural,
            "namespace": namespace,
        }
        if subresource:
            attributes["subresource"] = subresource
        answer = self.create(
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": attributes},
            }
        )
        return bool(answer["status"]["allowed"])

    def pod_logs(
        self, namespace: str, pod: str, container: str, *, lines: int = 20, previous: bool = False
    ) -> str:
        """The last lines of a container's log; empty if there is none yet."""
        return last_lines(self._send, namespace, pod, container, lines, previous=previous)

    def follow_log(
        self, namespace: str, pod: str, container: str, *, since: str = "", quiet_seconds: float
    ) -> Iterator[str]:
        """Each line of a container's log as it comes, with its time in front, to the log's end.

        It ends early when the line to the API server breaks or nothing came for `quiet_seconds`:
        ask again from the time of the last line.

        Args:
            namespace: Where.
            pod: The pod.
            container: In the pod.
            since: RFC 3339; lines of that second and later. Empty: from the beginning.
            quiet_seconds: How long to wait for a line.
        """
        return follow(self._send, namespace, pod, container, since, quiet_seconds)

    def events_of(self, namespace: str, name: str) -> Objects:
        """The events about an object of that name, oldest first."""
        found = self.list("Event", namespace, fields=f"involvedObject.name={name}")
        return sorted(found, key=lambda event: str(event.get("lastTimestamp") or ""))

    def http(self, namespace: str, what: str, port: int) -> Endpoint:
        """An HTTP API of a pod or Service, through the API server's proxy.

        Works from within the cluster and from outside alike.

        Args:
            namespace: Where.
            what: pods/<name> or services/<name>.
            port: Of the pod or Service.
        """
        return proxied(self._api.configuration, namespace, what, port)

    def _apply(self, body: dict[str, Any], *, force: bool, dry_run: bool) -> dict[str, Any]:
        kind, namespace, name = _identity(body)
        query = [("fieldManager", MANAGER), ("force", str(force).lower())]
        if dry_run:
            query.append(("dryRun", "All"))
        path, what = KINDS[kind].path(namespace, name), f"{KINDS[kind].plural}/{name}"
        found = self._call("patch", path, what, namespace, body=body, query=query, content=_APPLY)
        return cast("dict[str, Any]", found)

    def _call(
        self,
        verb: str,
        path: str,
        what: str,
        namespace: str,
        *,
        body: dict[str, Any] | None = None,
        query: Query | None = None,
        content: str = "application/json",
        missing: bool = False,
    ) -> dict[str, Any] | None:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            reply = self._send(_METHODS[verb], path, query=query, body=body, content=content)
        except ApiException as error:
            if missing and error.status == _NOT_FOUND:
                return None
            raise api_error(error, verb=verb, resource=what, namespace=namespace) from None
        except HTTPError as error:
            raise api_error(error, verb=verb, resource=what, namespace=namespace) from None
        found: dict[str, Any] = json.loads(reply.data)
        return found

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: dict[str, Any] | None = None,
        content: str = "application/json",
        seconds: float = _TIMEOUTS_SECONDS[1],
    ) -> Any:
        return self._api.call_api(
            path,
            method,
            {},
            query or [],
            {"Accept": "application/json", "Content-Type": content},
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _return_http_data_only=True,
            _request_timeout=(_TIMEOUTS_SECONDS[0], seconds),
        )


_METHODS = {"get": "GET", "list": "GET", "create": "POST", "patch": "PATCH", "delete": "DELETE"}


def _identity(found: Mapping[str, Any]) -> tuple[str, str, str]:
    metadata = found.get("metadata", {})
    return str(found["kind"]), str(metadata.get("namespace", "")), str(metadata.get("name", ""))


def _owned_by_others(
    wanted: Mapping[str, Any], others: list[str], error: OutdatedError
) -> TerminalError:
    kind, namespace, name = _identity(wanted)
    return TerminalError(
        f"{kind} {namespace}/{name} has fields that {', '.join(others)} set: {error.message}",
        hint="take back what was changed by hand, or set it in the spec; nothing was overwritten",
        subject=f"{kind}/{name}",
    )
