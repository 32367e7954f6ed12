"""What the rendered objects promise to each other and to the pods."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings

from slipway.errors import TerminalError
from slipway.kubernetes import manifests, names
from slipway.kubernetes.spec import kubernetes_of
from slipway.rollout.config_file import Serving, read_serving
from slipway.spec.model import ModelSpec
from support.kubernetes_specs import any_served_model, served_model

DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")


def by_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in objects if each["kind"] == kind]


def deployment_of(spec: ModelSpec, version: int = 1) -> dict[str, Any]:
    (found,) = by_kind(manifests.render(spec, version), "Deployment")
    return found


def pod_of(spec: ModelSpec, version: int = 1) -> dict[str, Any]:
    pod: dict[str, Any] = deployment_of(spec, version)["spec"]["template"]["spec"]
    return pod


def flags_of(pod: dict[str, Any]) -> dict[str, str]:
    flags = (flag.removeprefix("--").partition("=") for flag in pod["containers"][0]["args"])
    return {name: value for name, _, value in flags}


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


@settings(deadline=None)
@given(any_served_model())
def test_all_that_refers_to_something_refers_to_what_is_there(spec: ModelSpec):
    objects = manifests.render(spec, 3)
    (deployment,) = by_kind(objects, "Deployment")
    template = deployment["spec"]["template"]
    labels, pod = template["metadata"]["labels"], template["spec"]
    selectors = [each["spec"]["selector"] for each in by_kind(objects, "Service")]
    selectors += [
        each["spec"]["selector"]["matchLabels"]
        for kind in ("Deployment", "PodDisruptionBudget", "PodMonitor")
        for each in by_kind(objects, kind)
    ]
    policies = by_kind(objects, "NetworkPolicy")
    selectors += [each["spec"]["podSelector"]["matchLabels"] for each in policies]
    assert all(matches(selector, labels) for selector in selectors)
    volumes = {volume["name"] for volume in pod["volumes"]}
    containers = [*pod.get("initContainers", ()), *pod["containers"]]
    mounts = [mount for each in containers for mount in each["volumeMounts"]]
    assert {mount["name"] for mount in mounts} == volumes
    files = {file for each in by_kind(objects, "ConfigMap") for file in each["data"]}
    named = {value for value in flags_of(pod).values() if value.startswith("/serving/")}
    assert named == {f"/serving/{file}" for file in files}
    ports = {port["name"] for port in pod["containers"][0]["ports"]}
    asked = {port["targetPort"] for each in by_kind(objects, "Service")
             for port in each["spec"]["ports"]}  # fmt: skip
    assert asked <= ports
    own = by_kind(objects, "ServiceAccount")
    given_account = kubernetes_of(spec).service_account
    assert pod["serviceAccountName"] == (given_account or own[0]["metadata"]["name"])


@settings(deadline=None)
@given(any_served_model())
def test_every_name_and_label_is_one_that_kubernetes_takes(spec: ModelSpec):
    for each in manifests.render(spec, 10**9):
        metadata = each["metadata"]
        assert DNS_LABEL.fullmatch(metadata["name"])
        assert metadata["namespace"] == "serving"
        assert all(LABEL_VALUE.fullmatch(value) for value in metadata["labels"].values())
        assert metadata["labels"][names.MANAGED_BY_LABEL] == "slipway"
        assert metadata["labels"][names.MODEL_LABEL] == spec.model


@settings(deadline=None)
@given(any_served_model())
def test_a_pod_is_given_longer_to_end_than_it_drains(spec: ModelSpec):
    pod = pod_of(spec)
    (server,) = pod["containers"]
    drain = server["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert drain == kubernetes_of(spec).drain_seconds
    assert pod["terminationGracePeriodSeconds"] > drain


def test_a_job_of_the_same_model_never_gets_requests():
    job = {names.MODEL_LABEL: "digits", names.NAME_LABEL: "digits"}
    for selector in ({names.MODEL_LABEL: "digits"}, {}):
        entry = manifests.entry_service(served_model(), selector)
        assert not matches(entry["spec"]["selector"], job)


def test_versions_never_share_pods():
    first, second = (deployment_of(served_model(), version) for version in (1, 11))
    assert first["metadata"]["name"] != second["metadata"]["name"]
    labels = second["spec"]["template"]["metadata"]["labels"]
    assert not matches(first["spec"]["selector"]["matchLabels"], labels)
    in_place = deployment_of(served_model("in_place"))["spec"]["selector"]["matchLabels"]
    assert not matches(in_place, labels)


def test_readiness_asks_for_what_only_a_loaded_version_gives():
    server = pod_of(served_model(), 12)["containers"][0]
    assert server["readinessProbe"]["httpGet"]["path"] == "/v1/models/digits/versions/12/metadata"


def test_a_pod_lives_whatever_its_model_does():
    server = pod_of(served_model(), 12)["containers"][0]
    for probe in ("livenessProbe", "startupProbe"):
        assert server[probe]["httpGet"]["path"] == "/monitoring/prometheus/metrics"


@pytest.mark.parametrize("strategy", ["canary", "blue_green"])
def test_pods_of_a_version_get_that_version_and_no_other(strategy: str):
    spec = served_model(strategy, credentials_secret="bucket", environment={"AWS_REGION": "x"})
    pod = pod_of(spec, 12)
    (sync,) = pod["initContainers"]
    assert sync["command"][-3:] == ["--once", "--version", "12"]
    assert sync["command"][2:4] == ["s3://models/prod/digits", "/models/digits"]
    assert sync["env"] == [{"name": "AWS_REGION", "value": "x"}]
    assert sync["envFrom"] == [{"secretRef": {"name": "bucket"}}]
    (server,) = pod["containers"]
    assert "env" not in server  # the server never sees the bucket's keys
    assert "envFrom" not in server
    (config,) = by_kind(manifests.render(spec, 12), "ConfigMap")
    assert read_serving(config["data"]["models.config"], "digits").versions == {12}


def test_pods_that_follow_an_s3_bucket_fill_up_and_then_follow():
    fill, sidecar = pod_of(served_model("in_place"))["initContainers"]
    assert fill["command"][-1] == "--once"
    assert sidecar["restartPolicy"] == "Always"
    assert "--once" not in sidecar["command"]
    assert "http://127.0.0.1:8501/v1/models/digits" in sidecar["command"]
    (policy,) = by_kind(manifests.render(served_model("in_place")), "NetworkPolicy")
    admitted = {port["port"] for port in policy["spec"]["ingress"][0]["ports"]}
    assert admitted == {8500, 8501, 9180}


@pytest.mark.parametrize("strategy", ["in_place", "canary"])
def test_a_server_reads_gcs_itself_by_a_mounted_key_or_by_its_identity(strategy: str):
    with_key = pod_of(served_model(strategy, base_uri="gs://models", credentials_secret="bucket"))
    assert "initContainers" not in with_key
    (server,) = with_key["containers"]
    (variable,) = server["env"]
    assert variable["name"] == "GOOGLE_APPLICATION_CREDENTIALS"
    mount = next(each for each in server["volumeMounts"] if each["name"] == "credentials")
    assert variable["value"] == f"{mount['mountPath']}/service-account.json"
    assert mount["readOnly"] is True
    volume = next(each for each in with_key["volumes"] if each["name"] == "credentials")
    assert volume["secret"]["secretName"] == "bucket"
    without = pod_of(served_model(strategy, base_uri="gs://models"))
    assert "env" not in without["containers"][0]
    assert {volume["name"] for volume in without["volumes"]} == {"config", "tmp"}
    (config,) = by_kind(
        manifests.render(served_model(strategy, base_uri="gs://models")), "ConfigMap"
    )
    assert 'base_path: "gs://models/digits"' in config["data"]["models.config"]


def test_a_server_gets_the_folder_where_the_spec_says_so():
    spec = served_model("canary", base_uri="gs://models")
    serve = spec.serve.model_copy(update={"reads": "sync"})
    pod = pod_of(spec.model_copy(update={"serve": serve}))
    assert [each["name"] for each in pod["initContainers"]] == ["sync"]


def test_pods_that_should_read_s3_themselves_are_refused_with_the_spec():
    given = served_model("canary").rendered()
    given["serve"]["reads"] = "direct"
    with pytest.raises(ValueError, match="pods read s3:// through `slipway sync`"):
        ModelSpec.model_validate(given)


def test_an_old_server_that_reads_s3_still_gets_the_folder():
    pod = pod_of(served_model(image="tensorflow/serving:2.6.2"))
    assert [each["name"] for each in pod["initContainers"]] == ["sync"]


@pytest.mark.parametrize(
    "serving",
    [
        Serving(),
        Serving(frozenset({4})),
        Serving(frozenset({4, 5}), {"stable": 4, "canary": 5}),
    ],
)
def test_in_place_only_the_config_follows_the_channels(serving: Serving):
    spec = served_model("in_place")
    config, *others = manifests.in_place_objects(spec, serving)
    assert read_serving(config["data"]["models.config"], "digits") == serving
    assert others == manifests.in_place_objects(spec, Serving())[1:]


def test_replicas_are_the_autoscalers_where_there_is_one():
    for strategy in ("in_place", "canary", "blue_green"):
        scaled = manifests.render(served_model(strategy, autoscaling={"max_replicas": 5}))
        assert "replicas" not in by_kind(scaled, "Deployment")[0]["spec"]
        (autoscaler,) = by_kind(scaled, "HorizontalPodAutoscaler")
        target = autoscaler["spec"]["scaleTargetRef"]["name"]
        assert target == by_kind(scaled, "Deployment")[0]["metadata"]["name"]
        fixed = manifests.render(served_model(strategy, replicas=3))
        assert by_kind(fixed, "Deployment")[0]["spec"]["replicas"] == 3
        assert not by_kind(fixed, "HorizontalPodAutoscaler")


def test_a_canary_has_no_autoscaler_yet():
    spec = served_model(autoscaling={"max_replicas": 5})
    kinds = {each["kind"] for each in manifests.version_objects(spec, 2, "d", replicas=1)}
    assert "HorizontalPodAutoscaler" not in kinds


def test_what_the_spec_asks_for_arrives():
    spec = served_model(
        image="tensorflow/serving:2.20.0-gpu",
        service={"type": "NodePort", "node_port": 30501},
        resources={"cpu": "2", "memory": "4Gi", "cpu_request": "500m", "gpus": 1},
        node_selector={"pool": "gpu"},
        service_account_annotations={"iam.gke.io/gcp-service-account": "who"},
        batching=True,
        pod_monitor=True,
        tflite=True,
    )
    objects = manifests.render(spec)
    pod = pod_of(spec)
    (server,) = pod["containers"]
    assert server["image"] == "tensorflow/serving:2.20.0-gpu"
    assert server["resources"] == {
        "requests": {"cpu": "500m", "memory": "4Gi", "nvidia.com/gpu": "1"},
        "limits": {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": "1"},
    }
    assert pod["nodeSelector"] == {"pool": "gpu"}
    assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
    flags = flags_of(pod)
    assert flags["enable_batching"] == flags["prefer_tflite_model"] == "true"
    entry = objects[-1]
    assert entry["metadata"]["name"] == "digits"
    assert entry["spec"]["type"] == "NodePort"
    assert entry["spec"]["ports"][0]["nodePort"] == 30501
    (account,) = by_kind(objects, "ServiceAccount")
    assert account["metadata"]["annotations"] == {"iam.gke.io/gcp-service-account": "who"}
    (monitor,) = by_kind(objects, "PodMonitor")
    assert monitor["spec"]["podTargetLabels"] == ["slipway.dev/model", "slipway.dev/version"]


def test_prometheus_is_told_where_and_whose():
    metadata = deployment_of(served_model(), 7)["spec"]["template"]["metadata"]
    assert metadata["annotations"]["prometheus.io/scrape"] == "true"
    assert metadata["annotations"]["prometheus.io/port"] == "8501"
    assert metadata["annotations"]["prometheus.io/path"] == "/monitoring/prometheus/metrics"
    assert metadata["labels"]["slipway.dev/version"] == "7"


def test_the_digest_is_on_the_deployment_and_its_pods():
    made = manifests.version_objects(served_model(), 2, "ab" * 32, replicas=1)
    (deployment,) = by_kind(made, "Deployment")
    template = deployment["spec"]["template"]["metadata"]
    for metadata in (deployment["metadata"], template):
        assert metadata["annotations"][names.DIGEST] == "ab" * 32


def test_a_folder_of_this_machine_is_nothing_for_pods():
    known = served_model().model_copy(
        update={"publish": served_model().publish.model_copy(update={"base_uri": "file:///m"})}
    )
    with pytest.raises(TerminalError, match="pods cannot read"):
        manifests.render(known)


@pytest.mark.parametrize("base_uri", ["s3://models/prod", "gs://models/prod"])
def test_triton_gets_its_version_and_config_before_it_starts_and_polls_nothing(base_uri: str):
    spec = served_model(
        triton=True, base_uri=base_uri, latency=[{"percentile": 99.9, "largest_ms": 5.0}]
    )
    pod = pod_of(spec, 3)
    [sync] = pod["initContainers"]
    assert sync["command"][-4:] == ["--once", "--version", "3", "--triton"]
    [server] = pod["containers"]
    assert server["command"] == ["tritonserver"]
    assert "--model-control-mode=none" in server["args"]
    assert "--metrics-config=summary_quantiles=0.999:0.001" in server["args"]
    assert server["readinessProbe"]["httpGet"]["path"] == "/v2/models/digits/versions/3/ready"
    assert not by_kind(manifests.render(spec, 3), "ConfigMap")


@pytest.mark.parametrize(
    ("strategy", "changed", "problem"),
    [
        ("in_place", {}, "in_place leads clients by version labels, which Triton does not have"),
        ("canary", {"image": "tensorflow/serving:2.20.0"}, "is not Triton; name an image of Trit"),
        ("canary", {"batching": True}, "the published config.pbtxt says how Triton batches"),
    ],
)
def test_what_triton_cannot_do_is_refused_with_the_spec(
    strategy: str, changed: dict[str, Any], problem: str
):
    with pytest.raises(ValueError, match=problem):
        served_model(strategy, triton=True, **changed)
