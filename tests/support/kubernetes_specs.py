"""Specs of models that are served on Kubernetes: one by hand, and any that there can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from slipway.spec.kubernetes import KubernetesSpec
from slipway.spec.model import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import SearchStrategy

TRITON_IMAGE = "mirror.example/tritonserver:26.09-py3"
HEALTH = {"checks": {"error_ratio": {"largest": 0.02}}}


def served_model(
    strategy: str = "canary",
    *,
    model: str = "digits",
    base_uri: str = "s3://models/prod",
    tflite: bool = False,
    triton: bool = False,
    latency: Sequence[dict[str, float]] = (),
    **kubernetes: Any,
) -> ModelSpec:
    """A spec with these fields of serve.kubernetes, and defaults for all others."""
    server: dict[str, Any] = {"prefer_tflite_model": tflite}
    if triton:
        server = {"server": "triton"}
        kubernetes = {"image": TRITON_IMAGE, **kubernetes}
    health = {"checks": {**HEALTH["checks"], "latency": list(latency)}}
    return ModelSpec.model_validate(
        {
            "model": model,
            "definition": "digits",
            "gates": {"metrics": {"accuracy": {"floor": 0.5}}},
            "objective": {"maximise": "accuracy"},
            "publish": {"base_uri": base_uri},
            "serve": {
                **server,
                "kubernetes": {"namespace": "serving", **kubernetes},
            },
            "rollout": {"strategy": strategy, "health": health},
        }
    )


_WORD = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
_WORDS = st.dictionaries(_WORD, _WORD, max_size=2)
_CPU = st.sampled_from(["1", "0.5", "500m", "16"])
_MEMORY = st.sampled_from(["512Mi", "2Gi", "1G"])
_DIGEST = "sha256:" + "0123456789abcdef" * 4
_RESOURCES = st.fixed_dictionaries(
    {"cpu": _CPU, "memory": _MEMORY},
    optional={
        "gpus": st.integers(0, 8),
        "cpu_request": st.just("10m"),
        "memory_request": st.just("64Mi"),
    },
)
_AUTOSCALING = st.fixed_dictionaries(
    {"max_replicas": st.integers(50, 90)},
    optional={"min_replicas": st.integers(1, 5), "cpu_percent": st.integers(1, 100)},
)
_SERVICE = st.sampled_from(
    [
        {},
        {"type": "NodePort"},
        {"type": "NodePort", "node_port": 30501},
        {"type": "LoadBalancer"},
        {"type": "LoadBalancer", "node_port": 32000},
    ]
)
_IDENTITY = st.one_of(
    st.fixed_dictionaries({}, optional={"service_account": _WORD}),
    st.fixed_dictionaries(
        {}, optional={"service_account_annotations": st.dictionaries(_WORD, st.text(max_size=9))}
    ),
)
# Not the default, which cannot use GPUs.
_IMAGE = st.sampled_from(
    [
        "tensorflow/serving:2.20.0-gpu",
        f"tensorflow/serving@{_DIGEST}",
        f"mirror.example:5000/serving:2.6.2@{_DIGEST}",
        "our/model-server:2026-11",
    ]
)
_OPTIONS: dict[str, SearchStrategy[Any]] = {
    "sync_image": st.sampled_from(["slipway/sync:0.1.0", f"mirror.example:5000/sync@{_DIGEST}"]),
    "replicas": st.integers(1, 50),
    "service": _SERVICE,
    "resources": _RESOURCES,
    "autoscaling": st.one_of(st.none(), _AUTOSCALING),
    "credentials_secret": st.one_of(st.none(), _WORD),
    "environment": st.dictionaries(_WORD.map(str.upper), st.text(max_size=9), max_size=2),
    "node_selector": _WORDS,
    "batching": st.booleans(),
    "pod_monitor": st.booleans(),
    "network_policy": st.booleans(),
    "drain_seconds": st.integers(1, 600),
    "available_within_seconds": st.integers(1, 3600),
}
# Where and as whom Slipway itself connects: nothing of it is rendered.
_NOT_RENDERED = {"connection", "namespace", "service_account", "service_account_annotations"}


def missing_options() -> set[str]:
    """Fields of serve.kubernetes that `any_served_model` does not vary: there must be none."""
    return set(KubernetesSpec.model_fields) - {"image", *_OPTIONS} - _NOT_RENDERED


@st.composite
def any_served_model(draw: st.DrawFn) -> ModelSpec:
    """Any spec that is valid and serves on Kubernetes."""
    chosen = draw(st.fixed_dictionaries({"image": _IMAGE}, optional=_OPTIONS))
    triton = draw(st.booleans())
    if triton:
        chosen |= {"image": TRITON_IMAGE, "batching": False}
    strategies = ["canary", "blue_green"] if triton else ["in_place", "canary", "blue_green"]
    return served_model(
        draw(st.sampled_from(strategies)),
        model=draw(st.sampled_from(["digits", "a", "a_" * 19 + "zz"])),
        base_uri=draw(st.sampled_from(["s3://models", "s3://models/prod", "gs://models/prod"])),
        tflite=draw(st.booleans()),
        triton=triton,
        latency=draw(st.sampled_from([[], [{"percentile": 99.9, "largest_ms": 5.0}]])),
        **chosen,
        **draw(_IDENTITY),
    )
