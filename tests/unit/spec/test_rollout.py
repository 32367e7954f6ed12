"""What a spec says of its gate can be passed, and what it promises goes before defaults."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest
import yaml

from slipway.spec.loader import SpecError, load_spec
from slipway.spec.model import ModelSpec
from support.specs import PROJECT, SMALLEST

if TYPE_CHECKING:
    from pathlib import Path

_PROMISE = "health: {promise: {error_ratio: 0.05}}"
_CLUSTER = "serve: {kubernetes: {namespace: serving}}\n"


def _write(folder: Path, rollout: str) -> Path:
    file = folder / "tiny.yaml"
    head = SMALLEST.format(model="tiny").partition("rollout:")[0]
    file.write_text(f"{head}{_CLUSTER}rollout: {rollout}\n", "utf-8")
    return file


def _problem(file: Path) -> str:
    with pytest.raises(SpecError) as caught:
        load_spec(file)
    (problem,) = caught.value.problems
    return str(problem)


@pytest.mark.parametrize(
    ("rollout", "said"),
    [
        (
            "{probe: {requests: 0}, health: {minimum_requests: 50}}",
            "tiny.yaml:9: rollout.probe.requests: 0 are too few to pass the health gate",
        ),
        (
            "{strategy: canary, probe: {requests: 200}, health: {promise: {error_ratio: 0.05}}}",
            "rollout.probe.requests: 200 are too few to pass the health gate, which takes 454",
        ),
        (
            "{probe: {requests: 9}, health: {checks: {error_ratio: {largest: 0.01, caught: 0.1}}}}",
            "rollout.probe.requests: 9 are too few",
        ),
        (
            f"{{strategy: canary, probe: {{rate_per_second: 3}}, {_PROMISE}}}",
            "rollout.probe.rate_per_second: 3 a second are fewer than the 10",
        ),
        (
            "{strategy: blue_green, canary: {routing: gateway, route: mine}, health: {}}",
            "canary.route is set, but strategy blue_green",
        ),
    ],
)
def test_what_no_canary_could_pass_is_refused(tmp_path: Path, rollout: str, said: str) -> None:
    assert said in _problem(_write(tmp_path, rollout))


def test_a_promise_brings_the_requests_that_it_needs(tmp_path: Path) -> None:
    spec = load_spec(_write(tmp_path, "{strategy: canary, health: {promise: {error_ratio: 0.05}}}"))
    assert spec.rollout.probe.requests == spec.rollout.health.enough_requests == 454
    # As the steps of a rollout read it again, with every field given.
    assert ModelSpec.model_validate(spec.rendered()) == spec


def test_a_promise_goes_before_what_is_inherited_of_looks(tmp_path: Path) -> None:
    shutil.copy(PROJECT / "dags" / "models" / "_defaults.yaml", tmp_path)
    text = (PROJECT / "docs" / "health.md").read_text("utf-8")
    documented = re.search(r"```yaml\n(rollout:\n.*?)```", text, re.DOTALL)
    assert documented
    promise = yaml.safe_load(documented.group(1))["rollout"]
    rules = load_spec(_write(tmp_path, yaml.safe_dump(promise, default_flow_style=True))).rollout
    assert rules.health.timeout_seconds == 180
    assert rules.health.checks.error_ratio is not None
    assert rules.health.checks.error_ratio.largest == pytest.approx(0.005)
    # What it does not speak of is inherited.
    assert [each.largest_ms for each in rules.health.checks.latency] == [100]
    assert rules.probe.rate_per_second == 10


def test_what_the_spec_itself_says_against_its_promise_is_still_refused(tmp_path: Path) -> None:
    shutil.copy(PROJECT / "dags" / "models" / "_defaults.yaml", tmp_path)
    rollout = "{strategy: canary, health: {window_seconds: 9, promise: {error_ratio: 0.05}}}"
    assert "window_seconds 9 forgets requests" in _problem(_write(tmp_path, rollout))


def test_fewer_pods_than_the_default_are_what_the_autoscaler_allows(tmp_path: Path) -> None:
    file = _write(tmp_path, "{strategy: canary, health: {}}")
    scaled = "serve: {kubernetes: {namespace: serving, autoscaling: {max_replicas: 1}}}\n"
    file.write_text(file.read_text("utf-8").replace(_CLUSTER, scaled), "utf-8")
    spec = load_spec(file)
    assert spec.serve.kubernetes is not None
    assert spec.serve.kubernetes.replicas == 1
    assert ModelSpec.model_validate(spec.rendered()) == spec
