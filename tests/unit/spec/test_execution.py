"""Which runtime runs what."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from slipway.spec.model import ModelSpec

JOBS = {"kind": "kubernetes", "namespace": "builds", "image": "slipway/steps:1.0"}


def spec(**execution: Any) -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "model": "tiny",
            "definition": "tiny",
            "variants": {"small": {"tflite": {"precision": "float32"}}},
            "gates": {"metrics": {"accuracy": {"floor": 0.9}}},
            "objective": {"minimise": "size_bytes"},
            "publish": {"base_uri": "s3://models"},
            "rollout": {"health": {"checks": {"error_ratio": {"largest": 0.01}}}},
            "execution": execution,
        }
    )


def with_jobs(**given: Any) -> ModelSpec:
    return spec(**{"runtimes": {"gpu": JOBS}, "workspace_uri": "s3://workspace", **given})


def test_a_step_runs_on_the_worker_unless_the_spec_says_otherwise() -> None:
    assert spec().runtime_of("train", "original") == "subprocess"


def test_a_runtime_is_chosen_by_step_or_by_variant_and_the_variant_goes_first() -> None:
    chosen = with_jobs(run={"validate": "gpu", "train": "gpu", "small": "subprocess"})
    assert chosen.runtime_of("train", "original") == "gpu"
    assert chosen.runtime_of("validate", "other") == "gpu"
    assert chosen.runtime_of("validate", "small") == "subprocess"
    assert chosen.runtime_of("benchmark", None) == "subprocess"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"run": {"trian": "gpu"}}, "execution.run.trian: no step of the build or variant"),
        ({"run": {"deploy": "gpu"}}, "execution.run.deploy: no step of the build or variant"),
        ({"run": {"train": "gpus"}}, "run.train: there is no runtime 'gpus'; allowed: gpu, sub"),
        ({"run": {"train": "gpu"}, "workspace_uri": None}, "workspace_uri: missing"),
        ({"run": {"train": "gpu"}, "workspace_uri": "file:///w"}, "a pod reaches s3:// or gs://"),
        ({"runtimes": {"subprocess": JOBS}}, "runtimes.subprocess: this name means the worker"),
        ({"runtimes": {"gpu": {**JOBS, "image": "steps:latest"}}}, "steps:latest is not pinned"),
    ],
)
def test_a_choice_that_cannot_be_is_named_with_its_field(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        with_jobs(**given)
    assert said in str(caught.value)
