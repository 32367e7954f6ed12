"""The PromQL over TensorFlow Serving's metrics.

Counting how much a counter grew is harder than `increase()`: that extrapolates, so 3 requests read
as 3.4, and it needs two samples of a series, so a status that first shows up with 100 failures
reads as none. `growth` subtracts raw samples instead and asks where a series came from.
"""

from __future__ import annotations

REQUEST_COUNT = ":tensorflow:serving:request_count"
REQUEST_LATENCY_BUCKET = ":tensorflow:serving:request_latency_bucket"
LOAD_ATTEMPT_COUNT = ":tensorflow:cc:saved_model:load_attempt_count"


def growth(series: str, window: str, *, whole: bool = False) -> str:
    """How much each series of a counter grew in the window: whole numbers, one an instance.

    In this order, for each series:

    1. It was there a window ago and has not restarted since: the difference.
    2. It was not there, and has as many samples as its target has scrapes: Prometheus met the
       target in the middle of its life, so only what came after its first sample counts.
    3. It was born while its target was already being scraped, or it has restarted: all of it.

    Of a series without a sample in the window nothing is known, and it is left out.

    Args:
        series: A selector.
        window: A PromQL duration.
        whole: Whether 3 holds in place of 2: a pod that was made for what is judged has counted
            nothing else before Prometheus met it.
    """
    steady = f"resets({series}[{window}]) == 0"
    met_late = (
        f"count_over_time({series}[{window}])"
        f" >= on (job, instance) group_left () sum_over_time(up[{window}])"
    )
    late = f" or {series} - min_over_time({series}[{window}]) and {steady} and {met_late}"
    return (
        f"({series} - {series} offset {window} and {steady}"
        f"{'' if whole else late}"
        f" or {series} and count_over_time({series}[{window}]))"
    )


def requests(model: str, window: str, *matchers: str, whole: bool = False) -> str:
    """Requests to a model in the window, however they ended.

    Args:
        model: The model's name.
        window: A PromQL duration.
        matchers: Label matchers that narrow it to one version, such as slipway_dev_version="3".
        whole: As of `growth`.
    """
    return f"sum({growth(_requests(model, *matchers), window, whole=whole)})"


def error_ratio(model: str, window: str, *matchers: str, whole: bool = False) -> str:
    """Share of requests that did not end with OK; NaN if there was none."""
    failed = growth(_requests(model, 'status!="OK"', *matchers), window, whole=whole)
    none = f"0 * sum({_requests(model, *matchers)})"
    return f"(sum({failed}) or {none}) / {requests(model, window, *matchers, whole=whole)}"


def latency_ms(
    model: str, percentile: float, window: str, *matchers: str, whole: bool = False
) -> str:
    """A quantile of the latency of successful requests, in milliseconds; NaN if there was none.

    Interpolated within a bucket, whose upper bound is 1.8 times its lower one.
    """
    series = f"{REQUEST_LATENCY_BUCKET}{{{_labels(model, *matchers)}}}"
    buckets = growth(series, window, whole=whole)
    return f"histogram_quantile({percentile / 100:.10g}, sum by (le) ({buckets})) / 1000"


def load_failures(model: str, version: int, window: str, *matchers: str) -> str:
    """Failed attempts to load a version; absent unless the server shows metrics of the model.

    A version that never failed has no such series, and a TFLite one has no load series at all, so
    it is the model's requests that prove that somebody counts.
    """
    path = ",".join((f'model_path=~".*/{model}/{version}"', 'status="fail"', *matchers))
    failed = growth(f"{LOAD_ATTEMPT_COUNT}{{{path}}}", window)
    return f"sum({failed}) or 0 * sum({_requests(model, *matchers)})"


def saturation(deployment: str, *matchers: str) -> str:
    """Largest share of its CPU limit that a server of a Deployment uses, over the last minute.

    From cAdvisor's container_cpu_usage_seconds_total and container_spec_cpu_quota and _period,
    which the kubelet serves with the labels namespace, pod and container, and no label of the
    pod's own: a Deployment's pods are told by their name.

    Args:
        deployment: The Deployment's name, with which its pods' names begin.
        matchers: Label matchers of its namespace.
    """
    chosen = (*matchers, f'pod=~"{deployment}-[a-z0-9]+-[a-z0-9]+"', 'container="server"')
    pods = f"{{{','.join(chosen)}}}"
    # A container that restarted has a series a life.
    each = "by (namespace, pod, container)"
    used = f"max {each} (rate(container_cpu_usage_seconds_total{pods}[1m]))"
    limit = f"max {each} (container_spec_cpu_quota{pods} / container_spec_cpu_period{pods})"
    return f"max({used} / {limit})"


def filled_in(query: str, **values: str) -> str:
    """A user's query with {model}, {version} and the like replaced; other braces stay."""
    for name, value in values.items():
        query = query.replace(f"{{{name}}}", value)
    return query


def _requests(model: str, *matchers: str) -> str:
    return f"{REQUEST_COUNT}{{{_labels(model, *matchers)}}}"


def _labels(model: str, *matchers: str) -> str:
    return ",".join((f'model_name="{model}"', *matchers))
