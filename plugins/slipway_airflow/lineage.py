"""What tasks tell the outside of bytes in buckets: Airflow's metrics, and OpenLineage."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.observability import stats

if TYPE_CHECKING:
    from slipway.contracts import StepResult

_COUNTED = {
    "uploaded_bytes": "slipway.bucket.uploaded_bytes",
    "requests": "slipway.bucket.requests",
    "freed_bytes": "slipway.bucket.freed_bytes",
}
_SECONDS, _TIMED = "transfer_seconds", "slipway.bucket.transfer"


def tell_metrics(result: StepResult) -> None:
    """Counts a step's transfer in Airflow's own metrics, by model; nothing if those are off.

    Counters `slipway.bucket.uploaded_bytes`, `.requests` and `.freed_bytes`; timer
    `slipway.bucket.transfer`.
    """
    tags = {"model": result.model}
    for name, metric in _COUNTED.items():
        if result.metrics.get(name):
            stats.incr(metric, int(result.metrics[name]), tags=tags)
    if _SECONDS in result.metrics:
        stats.timing(_TIMED, timedelta(seconds=result.metrics[_SECONDS]), tags=tags)


def published_dataset(result: StepResult | None) -> Any:
    """The published version as OpenLineage's output dataset, with version and size.

    Returns:
        An OperatorLineage; None without a result, or if the OpenLineage provider is not installed.
    """
    if result is None or "uri" not in result.details:
        return None
    try:
        from airflow.providers.openlineage.extractors import OperatorLineage
        from openlineage.client.event_v2 import OutputDataset
        from openlineage.client.facet_v2 import dataset_version_dataset as version
        from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics
    except ImportError:
        return None
    namespace, name = _place(str(result.details["uri"]))
    number = str(result.details["version"])
    size = int(result.metrics.get("size_bytes") or result.metrics.get("uploaded_bytes") or 0)
    written = {"outputStatistics": statistics.OutputStatisticsOutputDatasetFacet(size=size)}
    dataset = OutputDataset(
        namespace=namespace,
        name=name,
        facets={"version": version.DatasetVersionDatasetFacet(datasetVersion=number)},
        outputFacets=written if size else {},
    )
    return OperatorLineage(outputs=[dataset])


def _place(uri: str) -> tuple[str, str]:
    """Namespace and name as OpenLineage names buckets and folders: the model, not one version."""
    scheme, _, rest = uri.rpartition("/")[0].partition("://")
    if scheme == "file":
        return "file", rest
    bucket, _, name = rest.partition("/")
    return f"{scheme}://{bucket}", name
