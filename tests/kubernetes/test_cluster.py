"""The cluster itself is a real one: what later tests rely on, and that nothing of it is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from support.kubernetes.cluster import until
from support.kubernetes.machine import cgroup_hierarchies
from support.kubernetes.own import OwnCluster
from support.kubernetes.places import CACHE_VARIABLE, cache_folder
from support.kubernetes.pods import (
    config_map_of,
    container,
    model_server,
    node_port_service,
    pod_log,
    until_ended,
    until_ready,
    web_server,
    write_doubling_model,
)

if TYPE_CHECKING:
    from support.kubernetes.cluster import Cluster

_START_AND_WAIT = """
import time
from kubernetes import client
from support.kubernetes.own import own_cluster
from support.kubernetes.pods import until_ready, web_server
with own_cluster(lambda line: None) as cluster:
    namespace = cluster.namespace("web")
    pod = web_server(cluster.runtime_image, "web")
    client.CoreV1Api(cluster.api).create_namespaced_pod(namespace, pod)
    until_ready(cluster, namespace, "web")
    print(cluster.slot.number, cluster._machine.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def web(cluster: Cluster) -> tuple[str, Any]:
    """A namespace with a pod and a Service "web", and the pod, ready."""
    namespace = cluster.namespace("web")
    core = client.CoreV1Api(cluster.api)
    core.create_namespaced_service(namespace, node_port_service("web"))
    core.create_namespaced_pod(namespace, web_server(cluster.runtime_image, "web"))
    return namespace, until_ready(cluster, namespace, "web")


def _get(url: str) -> httpx.Response:
    return httpx.get(url, timeout=5, trust_env=False)


def _answers(url: str) -> bool:
    try:
        return _get(url).status_code == 200
    except httpx.TransportError:
        return False


def test_every_node_is_ready(cluster: Cluster) -> None:
    nodes = client.CoreV1Api(cluster.api).list_node().items
    ready = [c.status for node in nodes for c in node.status.conditions if c.type == "Ready"]
    assert ready == ["True"] * len(nodes) != []


def test_a_pod_serves_over_its_service_by_cluster_address_and_by_node_port(
    cluster: Cluster, web: tuple[str, Any]
) -> None:
    namespace, pod = web
    for url in (
        cluster.service_url(namespace, "web", 80),
        cluster.node_port_url(namespace, "web", 80),
    ):
        until(partial(_answers, url), f"{url} answers")
        assert "include" in _get(url).text
    assert '"GET / HTTP/1.1" 200' in pod_log(cluster, namespace, pod.metadata.name)


def test_a_pod_reaches_a_server_of_the_tests_and_the_api(cluster: Cluster) -> None:
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    namespace = cluster.namespace("reach")
    core = client.CoreV1Api(cluster.api)
    with ThreadingHTTPServer((cluster.host_address, 0), SimpleHTTPRequestHandler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        script = (
            "import os, ssl, urllib.request as u\n"
            f"print(u.urlopen('http://{cluster.host_address}:{server.server_port}').status)\n"
            "api = 'https://' + os.environ['KUBERNETES_SERVICE_HOST'] + '/version'\n"
            "ca = '/var/run/secrets/kubernetes.io/serviceaccount/ca.crt'\n"
            "print(u.urlopen(api, context=ssl.create_default_context(cafile=ca)).status)\n"
        )
        once = container(cluster.runtime_image, ["python3", "-c", script])
        spec = {"restartPolicy": "Never", "containers": [once]}
        core.create_namespaced_pod(namespace, {"metadata": {"name": "reach"}, "spec": spec})
        until_ended(cluster, namespace, "reach")
        server.shutdown()
    assert pod_log(cluster, namespace, "reach").split() == ["200", "200"]


def test_only_ready_pods_are_endpoints(cluster: Cluster, web: tuple[str, Any]) -> None:
    namespace, pod = web
    core = client.CoreV1Api(cluster.api)
    never = web_server(cluster.runtime_image, "never")
    never["metadata"]["labels"]["app"] = "web"
    never["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"] = "/there-is-no-such-page"
    core.create_namespaced_pod(namespace, never)

    def endpoints() -> dict[str, bool]:
        slices = client.DiscoveryV1Api(cluster.api).list_namespaced_endpoint_slice(
            namespace, label_selector="kubernetes.io/service-name=web"
        )
        found = [one for part in slices.items for one in part.endpoints or ()]
        return {one.target_ref.name: one.conditions.ready for one in found}

    until(lambda: len(endpoints()) == 2, "both pods are listed")
    assert endpoints() == {pod.metadata.name: True, "never": False}


def test_a_job_completes(cluster: Cluster) -> None:
    namespace = cluster.namespace("job")
    batch = client.BatchV1Api(cluster.api)
    once = container(cluster.runtime_image, ["python3", "-c", "import slipway; print('ran')"])
    template = {"spec": {"restartPolicy": "Never", "containers": [once]}}
    batch.create_namespaced_job(
        namespace, {"metadata": {"name": "once"}, "spec": {"template": template}}
    )
    until(lambda: batch.read_namespaced_job("once", namespace).status.succeeded, "the job is done")


def test_the_model_server_serves_by_tensorflow_servings_command_line(
    cluster: Cluster, tmp_path: Path
) -> None:
    namespace = cluster.namespace("serving")
    core = client.CoreV1Api(cluster.api)
    config_map, volume = config_map_of(write_doubling_model(tmp_path / "model"))
    core.create_namespaced_config_map(namespace, config_map)
    core.create_namespaced_service(namespace, node_port_service("doubling", target=8501))
    core.create_namespaced_pod(namespace, model_server(cluster.serving_image, "doubling", volume))
    until_ready(cluster, namespace, "doubling", seconds=120)
    url = cluster.service_url(namespace, "doubling", 80) + "/v1/models/doubling"

    def available() -> bool:
        states = _get(url).json()["model_version_status"]
        return [one["state"] for one in states] == ["AVAILABLE"]

    until(available, "the version is available", seconds=120)
    asked = {"instances": [[1.0, 2.0]]}
    answer = httpx.post(f"{url}:predict", json=asked, timeout=10, trust_env=False)
    assert answer.json() == {"predictions": [[2.0, 4.0]]}


def test_an_image_that_is_not_there_is_named_at_once(cluster: Cluster) -> None:
    namespace = cluster.namespace("image")
    core = client.CoreV1Api(cluster.api)
    core.create_namespaced_pod(namespace, web_server("slipway.test/no-such-image:1", "web"))

    def reason() -> bool:
        states = core.read_namespaced_pod("web", namespace).status.container_statuses or []
        return any(one.state.waiting and "ImagePull" in one.state.waiting.reason for one in states)

    until(reason, "the pod waits for its image", seconds=30)


def test_too_much_memory_ends_a_container_as_out_of_memory(cluster: Cluster) -> None:
    namespace = cluster.namespace("memory")
    core = client.CoreV1Api(cluster.api)
    greedy = container(cluster.runtime_image, ["python3", "-c", "b'x' * (300 << 20)"])
    greedy["resources"] = {"limits": {"memory": "64Mi"}}
    spec = {"restartPolicy": "Never", "containers": [greedy]}
    core.create_namespaced_pod(namespace, {"metadata": {"name": "greedy"}, "spec": spec})
    (status,) = until_ended(cluster, namespace, "greedy").status.container_statuses
    assert status.state.terminated.reason == "OOMKilled"


def test_a_service_account_may_do_what_its_role_says_and_no_more(cluster: Cluster) -> None:
    namespace = cluster.namespace("rights")
    core = client.CoreV1Api(cluster.api)
    rights = client.RbacAuthorizationV1Api(cluster.api)
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "reader"}})
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    rights.create_namespaced_role(namespace, {"metadata": {"name": "reader"}, "rules": rules})
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": namespace}
    role = {"kind": "Role", "name": "reader", "apiGroup": "rbac.authorization.k8s.io"}
    rights.create_namespaced_role_binding(
        namespace, {"metadata": {"name": "reader"}, "roleRef": role, "subjects": [subject]}
    )
    token = core.create_namespaced_service_account_token("reader", namespace, {"spec": {}})
    configuration = client.Configuration()
    configuration.host = cluster.api.configuration.host
    configuration.ssl_ca_cert = cluster.api.configuration.ssl_ca_cert
    configuration.api_key = {"authorization": f"Bearer {token.status.token}"}
    reader = client.CoreV1Api(client.ApiClient(configuration))
    until(lambda: reader.list_namespaced_pod(namespace).items == [], "the role holds")
    with pytest.raises(ApiException, match="cannot list resource") as refused:
        reader.list_namespaced_secret(namespace)
    assert refused.value.status == 403


@pytest.mark.parametrize("restart", ["restart_kubelet", "restart_api_server"])
def test_a_pod_serves_on_through_a_restart(
    cluster: Cluster, web: tuple[str, Any], restart: str
) -> None:
    namespace, pod = web
    url = cluster.service_url(namespace, "web", 80)
    until(lambda: _answers(url), "the pod answers")
    if restart == "restart_kubelet":
        cluster.kill_node_agent()
        assert _answers(url)
    getattr(cluster, restart)()
    assert _answers(url)
    now = until_ready(cluster, namespace, "web")
    assert (now.metadata.uid, now.status.container_statuses[0].restart_count) == (
        pod.metadata.uid,
        0,
    )


def test_nothing_is_left_of_a_cluster_whose_tests_were_killed(cluster: Cluster) -> None:
    if not isinstance(cluster, OwnCluster):
        pytest.skip("no cluster is started where KUBECONFIG names one")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment[CACHE_VARIABLE] = str(cache_folder())
    with subprocess.Popen(
        [sys.executable, "-c", _START_AND_WAIT], stdout=subprocess.PIPE, text=True, env=environment
    ) as tests:
        assert tests.stdout
        number, inner = map(int, tests.stdout.readline().split())
        assert number != cluster.slot.number  # two stand side by side
        name = f"slipway-{number}"
        assert Path(f"/sys/class/net/{name}").exists()
        tests.send_signal(signal.SIGKILL)
    until(lambda: not Path(f"/proc/{inner}").exists(), "its processes are gone")
    until(lambda: not Path(f"/sys/class/net/{name}").exists(), "its network is gone")
    assert name not in Path("/proc/self/mountinfo").read_text()
    _sweep()
    assert not [top for top in cgroup_hierarchies() if (top / name).exists()]
    assert not (cache_folder() / "running" / name).exists()


def _sweep() -> None:
    """Taking a number sweeps up after those who had it."""
    from support.kubernetes.slots import free_slot

    with free_slot():
        pass
