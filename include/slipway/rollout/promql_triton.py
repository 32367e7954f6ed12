"""The PromQL over Triton's metrics; what the functions promise is said in `slipway.rollout.promql`.

Triton counts successes and failures apart, from a model's loading on, and labels them `model` and
`version`: https://github.com/triton-inference-server/server/blob/main/docs/user_guide/metrics.md.
It has no histogram of latencies; the quantiles of a summary are there if it is told so by
`--metrics-config=summary_latencies=true`, each over the last minute.
"""

from __future__ import annotations

from slipway.rollout.promql import growth

SUCCESS = "nv_inference_request_success"
FAILURE = "nv_inference_request_failure"
LATENCY = "nv_inference_request_summary_us"


def requests(model: str, window: str, *matchers: str, whole: bool = False) -> str:
    """Requests to a model in the window, however they ended."""
    succeeded = growth(_series(SUCCESS, model, *matchers), window, whole=whole)
    return f"(sum({succeeded}) + {_failed(model, window, *matchers, whole=whole)})"


def error_ratio(model: str, window: str, *matchers: str, whole: bool = False) -> str:
    """Share of requests that failed; NaN if there was none."""
    failed = _failed(model, window, *matchers, whole=whole)
    return f"{failed} / {requests(model, window, *matchers, whole=whole)}"


def latency_ms(
    model: str,
    percentile: float,
    window: str,
    *matchers: str,
    whole: bool = False,  # noqa: ARG001  # a minute's quantile is no count
) -> str:
    """A quantile of the latency in milliseconds: in the worst minute of the worst pod.

    Quantiles of several minutes or pods cannot be joined to one, as buckets can.
    """
    quantile = f'quantile="{percentile / 100:.10g}"'
    series = _series(LATENCY, model, quantile, *matchers)
    return f"max(max_over_time({series}[{window}])) / 1000"


def _failed(model: str, window: str, *matchers: str, whole: bool) -> str:
    failed = growth(_series(FAILURE, model, *matchers), window, whole=whole)
    # A series of failures may be missing; the successes prove that somebody counts.
    return f"(sum({failed}) or 0 * sum({_series(SUCCESS, model, *matchers)}))"


def _series(name: str, model: str, *matchers: str) -> str:
    labels = ",".join((f'model="{model}"', *matchers))
    return f"{name}{{{labels}}}"
