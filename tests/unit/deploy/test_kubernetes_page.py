"""docs/kubernetes.md shows what `slipway render` prints today."""

from __future__ import annotations

import re
from typing import Any

import yaml

from slipway.kubernetes import manifests
from slipway.kubernetes.manifests.text import as_yaml
from slipway.spec.loader import load_spec
from support.kubernetes_schemas import MINORS
from support.specs import PROJECT

PAGE = (PROJECT / "docs/kubernetes.md").read_text("utf-8")
YAML_BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


def shown(tmp_path: Any) -> list[dict[str, Any]]:
    given = YAML_BLOCKS[0]
    given["rollout"]["health"] = {"checks": {"error_ratio": {"largest": 0.01}}}
    rest = {"model": "digits", "definition": "digits", "objective": {"minimise": "size_bytes"}}
    gates = {"gates": {"metrics": {"accuracy": {"floor": 0.9}}}}
    file = tmp_path / "digits.yaml"
    file.write_text(yaml.safe_dump({**rest, **gates, **given}), "utf-8")
    return manifests.render(load_spec(file), 7)


def is_shortened(excerpt: Any, whole: Any) -> bool:
    """Whether nothing stands in an excerpt that does not stand there in the whole."""
    if isinstance(excerpt, dict):
        return all(name in whole and is_shortened(excerpt[name], whole[name]) for name in excerpt)
    if isinstance(excerpt, list) and excerpt and isinstance(excerpt[0], dict):
        return all(any(is_shortened(one, other) for other in whole) for one in excerpt)
    return bool(excerpt == whole)


def test_the_list_of_objects_is_that_of_the_spec_above_it(tmp_path: Any):
    lines = as_yaml(shown(tmp_path)).splitlines()
    listed = "\n".join(line for line in lines if re.match(r"kind: |  name: ", line))
    assert f"{listed}\n```" in PAGE


def test_the_pod_is_a_shortened_one(tmp_path: Any):
    (deployment,) = (each for each in shown(tmp_path) if each["kind"] == "Deployment")
    assert is_shortened(YAML_BLOCKS[1], deployment["spec"]["template"])


def test_the_minor_versions_are_those_of_the_schemas():
    assert ", ".join(minor.removeprefix("v") for minor in MINORS) in PAGE
