"""Stand-in until the manifests are merged: as little as the engine needs to be tried out."""

from __future__ import annotations

from typing import Any

from slipway.kubernetes import names


def shared_objects(spec: Any) -> list[dict[str, Any]]:
    """The service account."""
    return [_object("v1", "ServiceAccount", names.service(spec.model), spec, {})]


def version_objects(
    spec: Any, version: int, digest: str, *, replicas: int, with_autoscaler: bool = False
) -> list[dict[str, Any]]:
    """Deployment, Service and ConfigMap."""
    k8s, model = spec.serve.kubernetes, spec.model
    name = names.version_service(model, version)
    labels = {names.MODEL_LABEL: model, names.VERSION_LABEL: str(version)}
    config = (
        f'model_config_list {{ config {{ name: "{model}" base_path: "/models/{model}" '
        f'model_platform: "tensorflow" model_version_policy {{ specific {{ versions: {version} '
        "} } } }\n"
    )
    env = [{"name": k, "value": v} for k, v in k8s.environment.items()]
    secret = [{"secretRef": {"name": k8s.credentials_secret}}] if k8s.credentials_secret else []
    mounts = [{"name": "models", "mountPath": "/models"}, {"name": "tmp", "mountPath": "/tmp"}]
    limits = {"cpu": k8s.resources.cpu, "memory": k8s.resources.memory}
    small = {"requests": {"cpu": "10m", "memory": "64Mi"}}
    pod = {
        "serviceAccountName": names.service(model),
        "terminationGracePeriodSeconds": k8s.drain_seconds + 20,
        "securityContext": {"runAsUser": 50001, "runAsNonRoot": True, "fsGroup": 50001},
        "initContainers": [
            {
                "name": "sync", "image": k8s.sync_image, "env": env, "envFrom": secret,
                "command": ["slipway", "sync", f"{spec.publish.base_uri}/{model}",
                            f"/models/{model}", "--once"],
                "volumeMounts": mounts, "resources": small,
            }
        ],
        "containers": [
            {
                "name": "server", "image": k8s.image,
                "command": ["tensorflow_model_server", "--rest_api_port=8501", "--port=8500",
                            "--model_config_file=/config/models.config",
                            "--monitoring_config_file=/config/monitoring.config",
                            "--max_num_load_retries=0", "--model_cache_dir=/tmp"],
                "ports": [{"name": "rest", "containerPort": 8501}],
                "readinessProbe": {"httpGet": {
                    "path": f"/v1/models/{model}/versions/{version}/metadata", "port": 8501},
                    "periodSeconds": 1},
                "lifecycle": {"preStop": {"sleep": {"seconds": k8s.drain_seconds}}},
                "volumeMounts": [*mounts, {"name": "config", "mountPath": "/config"}],
                "resources": {"limits": limits, **small},
            }
        ],
        "volumes": [
            {"name": "models", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}},
            {"name": "config", "configMap": {"name": f"{name}-config"}},
        ],
    }  # fmt: skip
    deployment = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    data = {"models.config": config, "monitoring.config": "prometheus_config { enable: true }\n"}
    made = [
        _object("v1", "ConfigMap", f"{name}-config", spec, {"data": data}, labels),
        _object("apps/v1", "Deployment", name, spec, {"spec": deployment}, labels),
        _object("v1", "Service", name, spec, {"spec": _service(labels)}, labels),
    ]
    made[1]["metadata"]["annotations"] = {names.DIGEST: digest}
    if with_autoscaler and k8s.autoscaling:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        scaler = {"scaleTargetRef": target, "maxReplicas": k8s.autoscaling.max_replicas}
        made.append(
            _object(
                "autoscaling/v2", "HorizontalPodAutoscaler", name, spec, {"spec": scaler}, labels
            )
        )
    return made


def entry_service(spec: Any, selector: dict[str, str]) -> dict[str, Any]:
    """The Service that clients use."""
    return _object("v1", "Service", names.service(spec.model), spec, {"spec": _service(selector)})


def _service(selector: dict[str, str]) -> dict[str, Any]:
    return {
        "selector": selector,
        "ports": [{"name": "rest", "port": 8501, "targetPort": 8501, "protocol": "TCP"}],
    }


def _object(
    api: str, kind: str, name: str, spec: Any, more: dict[str, Any],
    labels: dict[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    own = {names.MODEL_LABEL: spec.model, names.MANAGED_BY_LABEL: names.MANAGER, **(labels or {})}
    metadata = {"name": name, "namespace": spec.serve.kubernetes.namespace, "labels": own}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **more}
