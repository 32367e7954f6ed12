from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from slipway.kubernetes.diagnosis import (
    Trouble,
    deployment_trouble,
    event_trouble,
    pod_trouble,
    worst,
)

_MADE = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
_LATER = _MADE + timedelta(minutes=1)


def _logs(pod: str, container: str, previous: bool) -> str:
    return f"first line of {pod}/{container}\nout of luck" if previous else ""


def _pod(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "m-v2-x", "creationTimestamp": _MADE.isoformat()},
        "status": status,
    }


def _container(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "server", "image": "serving:1", "state": state, "restartCount": 0, **more}


def _waiting(reason: str, message: str = "said so") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def _ended(code: int, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason}}


@pytest.mark.parametrize(
    ("status", "kind", "hopeless", "message"),
    [
        (
            {"containerStatuses": [_container(_waiting("ImagePullBackOff", "not found"))]},
            "image", True, "the image serving:1 cannot be pulled: not found",
        ),
        (
            {"containerStatuses": [_container(_waiting("CreateContainerConfigError"))]},
            "config", True, "container server cannot start: CreateContainerConfigError: said so",
        ),
        (
            {"containerStatuses": [
                _container(_waiting("CrashLoopBackOff"), lastState=_ended(3), restartCount=1)]},
            "crash", True, "status 3, 1 times: first line of m-v2-x/server | out of luck",
        ),
        (
            {"containerStatuses": [
                _container(_ended(137, "OOMKilled"), lastState=_ended(137, "OOMKilled"),
                           restartCount=1)]},
            "memory", True, "container server was killed: it needs more memory than its limit",
        ),
        (
            {"containerStatuses": [_container(_ended(3))]},
            "crash", False, "container server ended with status 3, 1 times",
        ),
        (
            {"initContainerStatuses": [
                _container(_waiting("CrashLoopBackOff"), lastState=_ended(1), restartCount=2)]},
            "init", True, "container server ended with status 1, 2 times",
        ),
        (
            {"initContainerStatuses": [
                _container(_waiting("CrashLoopBackOff"), lastState=_ended(75), restartCount=2)]},
            "init", False, "status 75",
        ),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]},
            "schedule", False, "cannot be scheduled: 0/1 nodes",
        ),
        (
            {"phase": "Running", "containerStatuses": [_container({"running": {}})]},
            "load", True, "the model server could not load it: not a SavedModel",
        ),
    ],
)  # fmt: skip
def test_a_pod_that_is_not_ready_says_why(
    status: dict[str, Any], kind: str, hopeless: bool, message: str
) -> None:
    found = pod_trouble(_pod(**status), _logs, lambda _pod: "not a SavedModel", now=_LATER)
    assert found is not None
    assert (found.kind, found.hopeless) == (kind, hopeless)
    assert message in found.message
    error = found.error("version 2 of m")
    assert error.message.startswith("version 2 of m does not become available: m-v2-x: ")
    assert error.hint


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"phase": "Running", "containerStatuses": [_container({"running": {}})]},
        {"initContainerStatuses": [_container(_ended(0, "Completed"))]},
        {"containerStatuses": [_container(_waiting("ContainerCreating"))]},
    ],
)
def test_a_pod_that_only_needs_time_is_in_no_trouble(status: dict[str, Any]) -> None:
    assert pod_trouble(_pod(**status), _logs, now=_LATER) is None


def test_a_registry_gets_a_second_chance() -> None:
    status = {"containerStatuses": [_container(_waiting("ErrImagePull"))]}
    found = pod_trouble(_pod(**status), _logs, now=_MADE + timedelta(seconds=2))
    assert found is not None
    assert not found.hopeless


def test_a_quota_that_lets_no_pod_through_is_named() -> None:
    condition = {
        "type": "ReplicaFailure", "status": "True", "message": "exceeded quota: small",
        "lastTransitionTime": _MADE.isoformat(),
    }  # fmt: skip
    deployment = {"metadata": {"name": "m-v2"}, "status": {"conditions": [condition]}}
    found = deployment_trouble(deployment, now=_LATER)
    assert found == Trouble(
        "Deployment m-v2", "quota", "makes no pods: exceeded quota: small", hopeless=True
    )


def test_what_is_hopeless_is_told_first() -> None:
    passing = Trouble("a", "schedule", "later", hopeless=False)
    final = Trouble("b", "load", "never", hopeless=True)
    assert worst([None, passing, final]) == final
    assert worst([passing, None]) == passing
    assert worst([None]) is None


def test_the_last_warning_of_kubernetes_is_better_than_nothing() -> None:
    events = [
        {"type": "Warning", "reason": "FailedMount", "message": "no such ConfigMap"},
        {"type": "Normal", "reason": "Scheduled", "message": "assigned"},
    ]
    found = event_trouble("m-v2-x", events)
    assert found is not None
    assert found.message == "FailedMount: no such ConfigMap"
    assert event_trouble("m-v2-x", events[1:]) is None
