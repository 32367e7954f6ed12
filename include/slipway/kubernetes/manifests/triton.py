"""Triton in a pod: the one version that an init container brought, and nothing that changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.serving.serve_config.plan import FOLLOWED_FOLDER, GRPC_PORT, REST_PORT

if TYPE_CHECKING:
    from slipway.kubernetes.manifests.fleet import ServedFleet

METRICS_PORT = 8002
METRICS_PATH = "/metrics"
LIVE_PATH = "/v2/health/live"

# Less than the pod has left when its drain is over.
_EXIT_SECONDS = 15
# How far a quantile may be off: 0.1% of all requests, which is what p99 needs.
_QUANTILE_ERROR = 0.001


def command(fleet: ServedFleet) -> tuple[str, list[str]]:
    """Program and arguments.

    The pod's version is there before the server starts and never changes, so nothing is polled,
    which could read half a version. REST and gRPC answer at the ports of every other model server
    of Slipway, so that Services and routes are the same.
    """
    quantiles = sorted(
        {check.percentile / 100 for check in fleet.spec.rollout.health.checks.latency}
    )
    flags = [
        f"--model-repository={FOLLOWED_FOLDER}",
        "--model-control-mode=none",
        "--disable-auto-complete-config",
        # A version that does not load ends the process, and its log says why.
        "--exit-on-error=true",
        "--strict-readiness=true",
        f"--exit-timeout-secs={_EXIT_SECONDS}",
        f"--http-port={REST_PORT}",
        f"--grpc-port={GRPC_PORT}",
        f"--metrics-port={METRICS_PORT}",
    ]
    if quantiles:
        asked = ",".join(f"{quantile:.10g}:{_QUANTILE_ERROR:g}" for quantile in quantiles)
        flags.append("--metrics-config=summary_latencies=true")
        flags.append(f"--metrics-config=summary_quantiles={asked}")
    return "tritonserver", flags


def metrics_port() -> dict[str, Any]:
    """Metrics have a port of their own."""
    return {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"}
