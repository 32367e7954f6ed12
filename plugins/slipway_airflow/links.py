"""Buttons on tasks: the report, the published version, the evidence, the queries.

A link is made on the worker when its task ends, and kept; the UI only shows it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from airflow.sdk import BaseOperatorLink, conf

from slipway.errors import SlipwayError
from slipway.serving.cloud_console import console_address

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

PREFIX = "/slipway"


class ReportLink(BaseOperatorLink):
    """The report on all variants."""

    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Address of report.html, of a selection that failed too; empty if there is none."""
        ended = getattr(operator, "result", None) or getattr(operator, "failure", None)
        left: dict[str, Any] = ended.details if ended else {}
        if "report" not in left:
            left = getattr(operator, "selected", None) or {}
        model = operator.spec.model  # type: ignore[attr-defined]  # on our operators only
        return report_page(model, left)


class VersionLink(BaseOperatorLink):
    """The version in the bucket."""

    name = "Version"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Address of the version's manifest; empty if no version is settled."""
        return _version_page("versions", operator)


class BucketLink(BaseOperatorLink):
    """The version in the bucket's console; without a version the model's folder."""

    name = "Bucket"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Address in the console; empty if the task did not begin its work, or no console is known.

        For a server that is not the cloud's own, the connection's extra `console_url` names it.
        """
        # The endpoint is part of a connection, which only the worker may read.
        from slipway_airflow.hooks.connections import bucket_environment, console_url

        version = _settled_version(operator)
        begun = any(getattr(operator, name, None) for name in ("result", "request", "settled"))
        if not version and not begun:
            return ""
        spec = operator.spec  # type: ignore[attr-defined]  # on our operators only
        publish = spec.publish
        try:
            own = bucket_environment(publish.connection, publish.base_uri)
        except SlipwayError:  # the task's own failure says so
            return ""
        folder = f"{publish.base_uri.rstrip('/')}/{spec.model}"
        uri = f"{folder}/{version}" if version else folder
        return console_address(uri, {**os.environ, **own}, console_url(publish.connection))


class KubernetesLink(BaseOperatorLink):
    """The version's Deployment in the cluster's dashboard."""

    name = "Kubernetes"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Address in the dashboard; empty without a cluster, a version, or a known dashboard.

        The connection's extra `console_url` names it, with {namespace} and {name}.
        """
        # The address is part of a connection, which only the worker may read.
        from slipway.kubernetes.names import service, version_service
        from slipway_airflow.hooks.connections import console_url

        spec = operator.spec  # type: ignore[attr-defined]  # on our operators only
        kubernetes, version = spec.serve.kubernetes, _settled_version(operator)
        template = console_url(kubernetes.connection) if kubernetes and version else ""
        own = spec.rollout.strategy != "in_place"
        name = version_service(spec.model, version) if own else service(spec.model)
        filled = template.replace("{namespace}", kubernetes.namespace if kubernetes else "")
        return filled.replace("{name}", name)


class EvidenceLink(BaseOperatorLink):
    """What decided the rollouts of the version."""

    name = "Evidence"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Address of the evidence; empty if no version is settled."""
        return _version_page("rollouts", operator)


class PrometheusLink(BaseOperatorLink):
    """The queries that decide, as graphs in Prometheus."""

    name = "Prometheus"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Address of a graph of every query; empty if none was asked."""
        # The address is a connection, which only the worker may read.
        from slipway_airflow.hooks.connections import prometheus

        queries: dict[str, str] = getattr(operator, "queries", {})
        if not queries:
            return ""
        policy = operator.spec.rollout.health  # type: ignore[attr-defined]  # on the sensor only
        minutes = -(-policy.timeout_seconds // 60)
        fields: dict[str, str] = {}
        for index, query in enumerate(queries.values()):
            fields[f"g{index}.expr"] = query
            fields[f"g{index}.tab"] = "0"
            fields[f"g{index}.range_input"] = f"{minutes}m"
        return f"{prometheus(policy.connection)[0]}/graph?{urlencode(fields)}"


# Every task of a rollout has these.
VERSION_LINKS = (VersionLink(), EvidenceLink(), BucketLink(), KubernetesLink())


def report_page(model: str, details: dict[str, Any]) -> str:
    """Address of the report that a selection's details name; empty if they name none."""
    report = details.get("report")
    return _page("reports", model, Path(report).parent.name) if report else ""


def _version_page(kind: str, operator: Any) -> str:
    version = _settled_version(operator)
    return _page(kind, operator.spec.model, str(version)) if version else ""


def _settled_version(operator: Any) -> Any:
    result = getattr(operator, "result", None)
    if result is not None and "version" in result.details:
        return result.details["version"]
    settled: dict[str, Any] = getattr(operator, "settled", None) or {}
    if "version" in settled:
        return settled["version"]
    request: dict[str, Any] = getattr(operator, "request", None) or {}
    return request.get("parameters", {}).get("version")


def _page(*parts: str) -> str:
    base = conf.get("api", "base_url", fallback="").rstrip("/")
    return f"{base}{PREFIX}/{'/'.join(quote(part, safe='') for part in parts)}"
