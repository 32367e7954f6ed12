"""What the API server's objects say about a Job, as terminal or transient errors."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.contracts import StepFailure
from slipway.errors import TerminalError, TransientError
from slipway.kubernetes.job_state import Seen, death, hopeless


def job(*conditions: dict[str, str]) -> dict[str, Any]:
    return {
        "metadata": {"name": "tiny-train"},
        "spec": {"activeDeadlineSeconds": 600},
        "status": {"conditions": list(conditions)},
    }


def pod(state: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    statuses = [{"name": "step", "state": state}] if state else []
    return {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "step", "image": "steps:1"}]},
        "status": {"containerStatuses": statuses, **status},
    }


def seen(
    found: dict[str, Any] | None,
    *,
    waited: float = 1.0,
    of: dict[str, Any] | None = None,
    events: list[dict[str, Any]] | None = None,
) -> Seen:
    return Seen(of or job(), found, events or [], waited, 60.0)


def waiting(reason: str) -> dict[str, Any]:
    return pod({"waiting": {"reason": reason, "message": "said the kubelet"}})


def ended(code: int, **more: Any) -> dict[str, Any]:
    return pod({"terminated": {"exitCode": code, **more}})


FAILED = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "m"}
LATE = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "m"}


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing", "ErrImagePull"])
def test_a_pod_that_may_still_start_is_waited_for(reason: str) -> None:
    assert hopeless(seen(waiting(reason))) is None
    assert hopeless(seen(pod())) is None
    assert hopeless(seen(None)) is None


@pytest.mark.parametrize(
    ("found", "waited", "kind", "said"),
    [
        (waiting("ImagePullBackOff"), 30, TerminalError, "image steps:1 cannot be pulled"),
        (waiting("InvalidImageName"), 0, TerminalError, "InvalidImageName"),
        (waiting("CreateContainerConfigError"), 0, TerminalError, "said the kubelet"),
        (waiting("ContainerCreating"), 61, TransientError, "did not start within 60 s"),
        (
            pod(
                conditions=[{"type": "PodScheduled", "status": "False", "message": "0/1 nodes fit"}]
            ),
            61,
            TransientError,
            "0/1 nodes fit",
        ),
        (None, 61, TransientError, "made no pod"),
    ],
)
def test_a_pod_that_will_not_start_is_given_up(
    found: dict[str, Any] | None, waited: float, kind: type[Exception], said: str
) -> None:
    error = hopeless(seen(found, waited=waited))
    assert isinstance(error, kind)
    assert said in str(error)


def test_a_pod_that_admission_refuses_is_terminal_and_a_full_quota_is_waited_for() -> None:
    def refused(message: str, waited: float) -> Exception | None:
        events = [{"reason": "FailedCreate", "message": message}]
        return hopeless(seen(None, waited=waited, events=events))

    assert isinstance(refused('serviceaccount "x" not found', 10), TerminalError)
    assert refused("exceeded quota: gpus", 10) is None
    assert isinstance(refused("exceeded quota: gpus", 61), TransientError)


@pytest.mark.parametrize(
    ("found", "of", "kind", "said"),
    [
        (ended(137, reason="OOMKilled"), None, TerminalError, "ran out of memory"),
        (ended(137), None, TransientError, "ended by signal 9"),
        (ended(143), job(LATE), TransientError, "still running after 600 s"),
        (pod(reason="Evicted", message="disk"), None, TransientError, "Evicted"),
        (
            pod(conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "Preempted"}]),
            None,
            TransientError,
            "Preempted",
        ),
        (None, job(FAILED), TransientError, "was deleted"),
        (ended(1), None, TerminalError, "last words"),
    ],
)
def test_how_a_job_died_decides_whether_it_is_tried_again(
    found: dict[str, Any] | None, of: dict[str, Any] | None, kind: type[Exception], said: str
) -> None:
    error = death(seen(found, of=of), ["last words"])
    assert isinstance(error, kind)
    assert said in str(error)


def test_what_the_container_said_itself_goes_before_its_exit_status() -> None:
    own = StepFailure(kind="transient", message="the bucket is away", hint="wait")
    error = death(seen(ended(1, message=own.model_dump_json())), [])
    assert isinstance(error, TransientError)
    assert error.message == "the bucket is away"


def test_a_job_is_finished_when_its_container_is_or_itself() -> None:
    assert not seen(pod({"running": {}})).finished
    assert seen(pod({"running": {}})).started
    assert seen(ended(0)).finished
    assert seen(None, of=job(FAILED)).finished
