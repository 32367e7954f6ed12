"""serve.kubernetes: what no cluster could take is refused, with its field and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from slipway.spec.loader import SpecError, load_spec
from support.specs import write_spec

if TYPE_CHECKING:
    from pathlib import Path


def problem_of(folder: Path, kubernetes: dict[str, Any], model: str = "tiny") -> str:
    serve = {"serve": {"kubernetes": {"namespace": "serving", **kubernetes}}}
    file = write_spec(folder, model, extra=yaml.safe_dump(serve))
    with pytest.raises(SpecError) as caught:
        load_spec(file)
    (problem,) = caught.value.problems
    return str(problem)


@pytest.mark.parametrize(
    ("kubernetes", "said"),
    [
        ({"resources": {"cpu": "0"}}, "kubernetes.resources.cpu: 0 would be no limit at all"),
        ({"resources": {"cpu": "2Gi"}}, "kubernetes.resources.cpu: found '2Gi'"),
        ({"resources": {"memory": "2"}}, "kubernetes.resources.memory: found '2'"),
        (
            {"resources": {"cpu": "500m", "cpu_request": "1"}},
            "cpu_request 1 is more than cpu 500m, which is the limit",
        ),
        (
            {"resources": {"memory": "1Gi", "memory_request": "1100M"}},
            "memory_request 1100M is more than memory 1Gi",
        ),
        ({"resources": {"gpus": 1}}, "serves on the CPU alone; name 2.20.0-gpu"),
        ({"image": "tensorflow/serving"}, "tensorflow/serving is not pinned"),
        ({"sync_image": "a.b:5000/sync:latest"}, "a.b:5000/sync:latest is not pinned"),
        ({"environment": {"AWS_SECRET_ACCESS_KEY": "-"}}, "is a secret; put it into the Secret"),
        ({"environment": {"NOT-A-NAME": "-"}}, "NOT-A-NAME"),
        (
            {"service_account": "mine", "service_account_annotations": {"a": "b"}},
            "annotate mine where it is made",
        ),
        ({"service": {"node_port": 30500}}, "needs service.type NodePort or LoadBalancer"),
        ({"node_selector": {"pool": "two words"}}, "node_selector.pool"),
        (
            {"autoscaling": {"min_replicas": 3, "max_replicas": 2}},
            "max_replicas 2 is less than min_replicas 3",
        ),
        (
            {"replicas": 6, "autoscaling": {"max_replicas": 5}},
            "replicas 6 is more than autoscaling.max_replicas 5",
        ),
        ({"image": "tensorflow/serving:nightly"}, "tensorflow/serving:nightly is not pinned"),
        ({"drain_seconds": 100000}, "kubernetes.drain_seconds"),
        ({"namespace": "Serving"}, "kubernetes.namespace: found 'Serving'"),
    ],
)
def test_what_a_cluster_would_refuse_is_said_at_once(
    tmp_path: Path, kubernetes: dict[str, Any], said: str
):
    assert said in problem_of(tmp_path, kubernetes)


@pytest.mark.parametrize("model", ["digits_v2", "digits_"])
def test_a_model_whose_name_makes_no_service_is_refused(tmp_path: Path, model: str):
    assert f"{model!r}" in problem_of(tmp_path, {}, model)


def test_a_folder_cannot_be_served_from_pods(tmp_path: Path):
    file = write_spec(tmp_path, extra="serve: {kubernetes: {namespace: serving}}\n")
    file.write_text(file.read_text("utf-8").replace("s3://models", "file:///models"), "utf-8")
    with pytest.raises(SpecError, match="pods cannot read a folder of this machine"):
        load_spec(file)


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_REGION"])
def test_where_a_secret_is_found_is_no_secret(tmp_path: Path, name: str):
    extra = yaml.safe_dump(
        {"serve": {"kubernetes": {"namespace": "serving", "environment": {name: "-"}}}}
    )
    kubernetes = load_spec(write_spec(tmp_path, extra=extra)).serve.kubernetes
    assert kubernetes is not None
    assert kubernetes.environment == {name: "-"}
