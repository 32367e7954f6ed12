"""The Prometheus that a cluster without one is given."""

from __future__ import annotations

from typing import Any

import yaml

from support.specs import PROJECT

FILE = PROJECT / "docker" / "prometheus-kubernetes.yaml"


def prometheus_objects(namespace: str) -> list[dict[str, Any]]:
    """Its objects, as `kubectl --namespace` sends them."""
    objects = list(yaml.safe_load_all(FILE.read_text("utf-8")))
    for each in objects:
        each["metadata"]["namespace"] = namespace
        for subject in each.get("subjects", ()):
            subject["namespace"] = namespace
    return objects
