"""The Job's manifest and its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.contracts import StepRequest
from slipway.kubernetes.job_manifest import JobPlan, job_manifest
from slipway.kubernetes.job_request import JobRequest, local_sources
from slipway.registry import BUILD_STEPS
from slipway.spec.execution import JobSpec

if TYPE_CHECKING:
    from pathlib import Path

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,39}", fullmatch=True)


def spec(**given: Any) -> JobSpec:
    return JobSpec.model_validate(
        {"kind": "kubernetes", "namespace": "builds", "image": "slipway/steps:1.0", **given}
    )


def request(**given: Any) -> StepRequest:
    return StepRequest.model_validate(
        {"step": "train", "model": "tiny", "workspace": "/a/workspace", **given}
    )


def plan(options: JobSpec | None = None, uri: str = "s3://b/w", **given: Any) -> JobPlan:
    return JobPlan(request(**given), options or spec(), "0123456789abcdef" * 4, uri, 600)


def key(options: JobSpec | None = None, **given: Any) -> str:
    return JobRequest(request=request(**given), timeout_seconds=600).key(options or spec())


def pod_of(made: JobPlan) -> dict[str, Any]:
    pod: dict[str, Any] = job_manifest(made)["spec"]["template"]["spec"]
    return pod


@given(NAMES, st.none() | NAMES, st.sampled_from(BUILD_STEPS))
def test_every_name_is_one_that_kubernetes_takes(
    model: str, variant: str | None, step: str
) -> None:
    name = plan(model=model, variant=variant, step=step).name
    assert len(name) <= 63
    assert name == name.lower()
    assert all(part.isalnum() for part in name.split("-") if part)
    assert name[0].isalpha()
    assert name.endswith("-0123456789ab")


def test_a_job_ends_by_itself_and_is_tried_once() -> None:
    made = job_manifest(plan(spec(start_within_seconds=60)))["spec"]
    assert (made["backoffLimit"], made["activeDeadlineSeconds"]) == (0, 660)
    assert made["ttlSecondsAfterFinished"] == 86400
    assert made["template"]["spec"]["restartPolicy"] == "Never"


def test_the_pod_may_do_nothing_that_a_step_need_not() -> None:
    pod = pod_of(plan())
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    own = container["securityContext"]
    assert own["readOnlyRootFilesystem"] is True
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert own["allowPrivilegeEscalation"] is False
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]


def test_resources_are_limits_too_and_gpus_are_asked_for() -> None:
    options = spec(
        resources={"cpu": "4", "memory": "8Gi", "gpus": 1}, node_selector={"pool": "gpu"}
    )
    pod = pod_of(plan(options))
    asked = pod["containers"][0]["resources"]
    assert asked["limits"] == asked["requests"]
    assert asked["limits"] == {"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "1"}
    assert pod["nodeSelector"] == {"pool": "gpu"}


def test_credentials_come_from_the_secret_and_stand_nowhere() -> None:
    container = pod_of(plan(spec(workspace_secret="keys")))["containers"][0]
    assert container["envFrom"] == [{"secretRef": {"name": "keys"}}]
    pod = pod_of(plan(spec(workspace_secret="keys"), uri="gs://b"))
    container = pod["containers"][0]
    assert "envFrom" not in container
    assert {"name": "google", "secret": {"secretName": "keys"}} in pod["volumes"]
    values = {one["name"]: one.get("value") for one in container["env"]}
    assert values["GOOGLE_APPLICATION_CREDENTIALS"].endswith("/service-account.json")


def test_keras_two_is_asked_for_before_tensorflow_is_imported() -> None:
    names = {one["name"] for one in pod_of(plan())["containers"][0]["env"]}
    assert "TF_USE_LEGACY_KERAS" in names


def test_the_same_work_in_the_same_run_has_the_same_key_on_every_worker() -> None:
    digest = "c" * 64

    def at(root: str) -> dict[str, Any]:
        uri = f"{root}/artifacts/{digest}"
        source = {"kind": "keras", "digest": digest, "uri": uri, "size_bytes": 1}
        return {"workspace": root, "inputs": {"source": source}, "definition": f"{root}/d.py"}

    assert key(**at("/a")) == key(**at("/b/c"))


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": {"run_id": "another"}},
        {"config": {"epochs": 2}},
        {"seed": 2},
        {"variant": "small"},
        {"force": True},
    ],
)
def test_other_work_has_another_key(change: dict[str, Any]) -> None:
    assert key() != key(**change)


def test_another_image_is_another_job() -> None:
    assert key() != key(spec(image="slipway/steps:1.1"))


def test_a_definition_brings_what_it_imports_from_beside_it_and_nothing_else(
    tmp_path: Path,
) -> None:
    def write(name: str, text: str = "") -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    module = write("tiny.py", "import helper, json\nfrom shapes.round import circle\n")
    wanted = [
        module,
        write("helper.py", "def f():\n    import deeper\n"),
        write("deeper.py", "import helper\n"),
        write("shapes/__init__.py"),
        write("shapes/round.py"),
        write("tiny/data.csv", "1,2\n"),
        write("tiny/more.py", "import lazy\n"),
        write("lazy.py"),
    ]
    write("other.py")
    write("other/data.csv")
    write("tiny/__pycache__/more.pyc")
    assert local_sources(module) == sorted(wanted)
