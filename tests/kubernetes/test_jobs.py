"""Steps of a build as Jobs on a real cluster, with a real bucket between worker and pod."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from slipway.content import tree_digest
from slipway.contracts import StepRequest
from slipway.errors import TerminalError, TransientError
from slipway.kubernetes.jobs import JobProcess
from support.kubernetes.cluster import until
from support.kubernetes.jobs import JobPlace, job_place, pods_bucket, train_request
from support.techniques import TINY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.kubernetes.cluster import Cluster

_, FUTURE, TRAINS = TINY.read_text().partition("from __future__ import annotations\n")
HELPED = f"{FUTURE}import helper\nprint(helper.WORDS, flush=True)\n{TRAINS}"
# Before TensorFlow is loaded: it says who it is, and goes on for a while.
SLOW = """\
import time, uuid
print(f"attempt {uuid.uuid4().hex}", flush=True)
for number in range(SECONDS):
    print(f"line {number}", flush=True)
    time.sleep(1)
"""
WORKER = """
import sys
from pathlib import Path
from slipway.contracts import StepRequest
from slipway.kubernetes.jobs import JobProcess
from slipway.spec.execution import JobSpec
import os
request = StepRequest.model_validate_json(Path(sys.argv[1]).read_text())
spec = JobSpec.model_validate_json(Path(sys.argv[2]).read_text())
JobProcess(
    request,
    spec,
    workspace_uri=sys.argv[3],
    environment=os.environ,
    timeout_seconds=300,
    on_line=lambda line: print(line, flush=True),
).run()
"""
Bucket = tuple[str, dict[str, str], dict[str, str]]


@pytest.fixture(scope="module")
def bucket(cluster: Cluster) -> Iterator[Bucket]:
    with pods_bucket(cluster, "workspace") as made:
        yield made


@pytest.fixture
def place(cluster: Cluster, bucket: Bucket) -> JobPlace:
    return job_place(cluster, *bucket)


def slow(seconds: int, then: str = "") -> str:
    return SLOW.replace("SECONDS", str(seconds)) + then


def nothing_is_left(place: JobPlace) -> None:
    until(lambda: not place.jobs() and not place.pods(), "no Job and no pod is left", 30)


def test_a_chain_of_steps_runs_as_jobs_and_artifacts_go_by_the_bucket(
    place: JobPlace, tmp_path: Path
) -> None:
    worker = tmp_path / "worker"
    request = train_request(worker, HELPED)
    (worker / "helper.py").write_text("WORDS = 'from beside'\n")
    train = place.job(request)
    trained = train.run()
    assert trained.artifact is not None
    assert trained.artifact.path.is_relative_to(worker)
    assert tree_digest(trained.artifact.path) == trained.artifact.digest
    assert train.said("from beside")
    assert train.said("examples to train")
    assert len([line for line in train.lines if "exporting" in line]) == 1

    smaller = StepRequest(
        step="tflite",
        model="tiny",
        variant="small",
        config={"precision": "float32", "signature": "serving_default"},
        definition=request.definition,
        inputs={"source": trained.artifact},
        workspace=request.workspace,
    )
    converted = place.job(smaller).run()
    assert converted.artifact is not None
    assert (converted.artifact.servable / "model.tflite").is_file()

    # Another worker, with an empty disk: the result is known, and comes from the bucket.
    elsewhere = request.model_copy(
        update={"workspace": str(tmp_path / "elsewhere"), "parameters": {"run_id": "r2"}}
    )
    again = place.job(elsewhere).run()
    assert again.reused
    assert again.artifact is not None
    assert again.artifact.digest == trained.artifact.digest
    assert tree_digest(again.artifact.path) == trained.artifact.digest
    nothing_is_left(place)


def test_a_mistake_in_the_definition_reaches_the_worker_with_its_line(
    place: JobPlace, tmp_path: Path
) -> None:
    with pytest.raises(TerminalError, match=r"tiny\.py:2 cannot be imported.*nothing_of_the_kind"):
        place.job(train_request(tmp_path, "\nimport nothing_of_the_kind\n")).run()
    nothing_is_left(place)


def test_a_worker_that_was_killed_is_followed_by_one_that_goes_on_with_its_job(
    place: JobPlace, tmp_path: Path
) -> None:
    request = train_request(tmp_path, FUTURE + slow(12, TRAINS))
    job = place.job(request)
    files = [tmp_path / "request.json", tmp_path / "spec.json"]
    request.write(files[0])
    files[1].write_text(job.spec.model_dump_json())
    environment = {**os.environ, **place.environment, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WORKER, *map(str, files), place.uri]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as worker:
        assert worker.stdout is not None
        said = []
        for line in worker.stdout:
            said.append(line.strip())
            if "line 3" in line:
                worker.send_signal(signal.SIGKILL)
                break
    (pod,) = place.pods()
    assert job.run().artifact is not None
    assert job.lines[0].startswith("going on with Job")
    (attempt,) = [line for line in job.lines if line.startswith("attempt")]
    assert attempt in said
    # All of the log is in the new try's log, each line once.
    assert [line for line in job.lines if line.startswith("line")] == [
        f"line {number}" for number in range(12)
    ]
    assert {one["metadata"]["uid"] for one in place.pods()} <= {pod["metadata"]["uid"]}
    nothing_is_left(place)


def test_a_job_that_finished_while_nobody_watched_gives_its_outcome(
    place: JobPlace, tmp_path: Path
) -> None:
    request = train_request(tmp_path, slow(2, "raise ValueError('the end')\n"))
    first = place.job(request).start()
    until(lambda: first.said("line 0"), "the step runs", 60)
    # A worker that lost the cluster for good: its Job goes on without it.
    lost = place.job(request, environment={"SLIPWAY_KUBECONFIG": str(tmp_path / "nowhere")})
    with pytest.raises(TerminalError, match="no Kubernetes cluster"):
        lost.run()
    second = place.job(request)
    with pytest.raises(TerminalError, match="the end"):
        second.run()
    assert isinstance(first.join().failure, (TerminalError, TransientError))
    nothing_is_left(place)


def test_a_stopped_step_leaves_nothing(place: JobPlace, tmp_path: Path) -> None:
    job = place.job(train_request(tmp_path, slow(200))).start()
    until(lambda: job.said("line 1"), "the step runs", 60)
    assert job.process is not None
    job.process.stop()
    nothing_is_left(place)
    assert isinstance(job.join(60).failure, TransientError)


def test_a_pod_that_is_deleted_is_transient_and_the_next_try_has_a_job_of_its_own(
    place: JobPlace, tmp_path: Path
) -> None:
    request = train_request(tmp_path, slow(200))
    job = place.job(request).start()
    until(lambda: job.said("line 1"), "the step runs", 60)
    place.api.delete("Pod", place.namespace, place.pods()[0]["metadata"]["name"])
    failure = job.join().failure
    assert isinstance(failure, TransientError), failure
    until(lambda: not place.jobs(), "its Job is gone", 30)
    again = place.job(request).start()
    until(lambda: again.said("line 0"), "it runs again", 60)
    assert again.lines[0].startswith("made Job")
    assert again.process is not None
    again.process.stop()
    again.join(60)


def test_a_step_that_needs_more_memory_than_it_may_have_is_terminal(
    place: JobPlace, tmp_path: Path
) -> None:
    request = train_request(tmp_path, "hoard = b'x' * (900 << 20)\n")
    spec = place.spec(resources={"cpu": "1", "memory": "256Mi"})
    with pytest.raises(TerminalError, match="ran out of memory") as caught:
        place.job(request, spec).run()
    assert "resources.memory" in caught.value.hint


def test_an_image_that_is_not_there_is_named(place: JobPlace, tmp_path: Path) -> None:
    spec = place.spec(image="slipway.test/no-such-image:1", start_within_seconds=10)
    with pytest.raises(TerminalError, match=r"no-such-image:1 cannot be pulled"):
        place.job(train_request(tmp_path, ""), spec).run()
    nothing_is_left(place)


def test_a_service_account_that_is_not_there_is_named(place: JobPlace, tmp_path: Path) -> None:
    spec = place.spec(service_account="nobody")
    with pytest.raises(TerminalError, match="nobody"):
        place.job(train_request(tmp_path, ""), spec).run()
    nothing_is_left(place)


def test_a_secret_that_is_not_there_is_named(place: JobPlace, tmp_path: Path) -> None:
    spec = place.spec(workspace_secret="nowhere")
    with pytest.raises(TerminalError, match="nowhere"):
        place.job(train_request(tmp_path, ""), spec).run()


def test_a_pod_that_fits_on_no_node_is_transient_with_the_schedulers_words(
    place: JobPlace, tmp_path: Path
) -> None:
    spec = place.spec(resources={"cpu": "1", "memory": "1Gi", "gpus": 8}, start_within_seconds=3)
    with pytest.raises(TransientError, match=r"nvidia\.com/gpu"):
        place.job(train_request(tmp_path, ""), spec).run()
    nothing_is_left(place)


def test_the_time_limit_of_the_job_ends_it(place: JobPlace, tmp_path: Path) -> None:
    spec = place.spec(active_deadline_seconds=8)
    with pytest.raises(TransientError, match=r"still running after 8 s|ended by signal"):
        place.job(train_request(tmp_path, slow(200)), spec).run()
    nothing_is_left(place)


def test_a_cluster_that_does_not_let_us_make_jobs_is_named(place: JobPlace, tmp_path: Path) -> None:
    import json

    import yaml
    from kubernetes import client

    core = client.CoreV1Api(place.cluster.api)
    core.create_namespaced_service_account(place.namespace, {"metadata": {"name": "guest"}})
    token = core.create_namespaced_service_account_token("guest", place.namespace, {"spec": {}})
    config = yaml.safe_load(place.cluster.kubeconfig.read_text())
    config["users"] = [{"name": "guest", "user": {"token": token.status.token}}]
    config["contexts"][0]["context"]["user"] = "guest"
    file = tmp_path / "guest.json"
    file.write_text(json.dumps(config))
    job = place.job(train_request(tmp_path, ""), environment={"SLIPWAY_KUBECONFIG": str(file)})
    with pytest.raises(TerminalError, match=rf"may not get jobs/.* in namespace {place.namespace}"):
        job.run()


def test_a_restart_of_the_api_server_ends_no_step(place: JobPlace, tmp_path: Path) -> None:
    request = train_request(tmp_path, slow(14, "raise ValueError('the end')\n"))
    job = place.job(request).start()
    until(lambda: job.said("line 1"), "the step runs", 60)
    place.cluster.restart_api_server()
    failure = job.join().failure
    assert isinstance(failure, TerminalError), failure
    assert "the end" in failure.message
    assert [line for line in job.lines if line.startswith("line")] == [
        f"line {number}" for number in range(14)
    ]


def test_nothing_secret_is_in_the_job(place: JobPlace, tmp_path: Path) -> None:
    job = place.job(train_request(tmp_path, slow(200))).start()
    until(lambda: job.said("line 0"), "the step runs", 60)
    seen = str(place.jobs()) + str(place.pods())
    assert place.environment["AWS_SECRET_ACCESS_KEY"] not in seen
    assert isinstance(job.process, JobProcess)
    job.process.stop()
    job.join(60)
