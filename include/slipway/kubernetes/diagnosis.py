"""Why pods are not ready: what Kubernetes, their logs and the model server say, in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

# A registry or a quota may recover; this long after the pod was made it will not do so in time.
_PATIENCE_SECONDS = 20.0
_CRASHES = 2
_SHOWN_LINES = 8
# Of sysexits.h: what Slipway's own commands exit with when another try may help.
_TRY_AGAIN = 75
_NEVER_STARTS = frozenset(
    {"InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError", "CreateContainerError"}
)
_PULLING = frozenset({"ErrImagePull", "ImagePullBackOff"})
_HINTS = {
    "image": "correct serve.kubernetes.image or sync_image, or the nodes' access to the registry",
    "config": "make what the pod refers to, such as serve.kubernetes.credentials_secret",
    "memory": "raise serve.kubernetes.resources.memory, or publish a smaller model",
    "crash": "read the log; then correct image, resources or the model, and roll out again",
    "init": "correct credentials or address of the bucket in serve.kubernetes",
    "schedule": "lower serve.kubernetes.resources or replicas, correct node_selector, or add nodes",
    "quota": "raise the namespace's quota, or lower resources or replicas",
    "load": "publish a version that the server can load",
    "slow": "raise serve.kubernetes.available_within_seconds, or read the pod's log",
}


@dataclass(frozen=True)
class Trouble:
    """What keeps a pod from being ready.

    Attributes:
        subject: The pod or Deployment.
        kind: image, config, memory, crash, init, schedule, quota, load or slow.
        message: What is wrong, in words.
        hopeless: Whether waiting longer cannot help.
    """

    subject: str
    kind: str
    message: str
    hopeless: bool

    def error(self, what: str) -> TerminalError:
        """The error for whoever waits for `what`."""
        return TerminalError(
            f"{what} does not become available: {self.subject}: {self.message}",
            hint=_HINTS[self.kind],
            subject=self.subject,
            details={"trouble": self.kind},
        )


def pod_trouble(
    pod: Mapping[str, Any],
    logs: Callable[[str, str, bool], str],
    load_failure: Callable[[str], str] = lambda _pod: "",
    *,
    now: datetime | None = None,
) -> Trouble | None:
    """What keeps a pod from being ready; None if nothing speaks against it yet.

    Args:
        pod: As the API gives it.
        logs: The last lines of a container's log, by pod, container and whether of the run before.
        load_failure: The model server's own message for a version that it cannot load, by pod.
        now: The time; default: the clock's.
    """
    name, status = pod["metadata"]["name"], pod.get("status", {})
    age = ((now or datetime.now(UTC)) - _time(pod["metadata"]["creationTimestamp"])).total_seconds()
    for field in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(field) or ():
            found = _container_trouble(name, container, field.startswith("init"), age, logs)
            if found is not None:
                return found
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            said = f"cannot be scheduled: {condition.get('message', '')}"
            return Trouble(name, "schedule", said, hopeless=False)
    if status.get("phase") == "Failed":
        said = f"{status.get('reason', 'failed')}: {status.get('message', '')}".rstrip(": ")
        return Trouble(name, "crash", said, hopeless=False)
    if status.get("phase") == "Running":
        failure = load_failure(name)
        if failure:
            return Trouble(name, "load", f"the model server could not load it: {failure}", True)
    return None


def deployment_trouble(
    deployment: Mapping[str, Any], *, now: datetime | None = None
) -> Trouble | None:
    """Why a Deployment cannot even make its pods, such as a quota."""
    for condition in deployment.get("status", {}).get("conditions") or ():
        if condition["type"] != "ReplicaFailure" or condition["status"] != "True":
            continue
        since = _time(condition["lastTransitionTime"])
        age = ((now or datetime.now(UTC)) - since).total_seconds()
        said = str(condition.get("message", ""))
        kind = "quota" if "quota" in said else "crash"
        name = f"Deployment {deployment['metadata']['name']}"
        return Trouble(name, kind, f"makes no pods: {said}", age > _PATIENCE_SECONDS / 2)
    return None


def event_trouble(pod: str, events: Sequence[Mapping[str, Any]]) -> Trouble | None:
    """The last thing that Kubernetes warned of about a pod, such as a volume without its source."""
    warnings = [event for event in events if event.get("type") == "Warning"]
    if not warnings:
        return None
    said = f"{warnings[-1].get('reason', '')}: {warnings[-1].get('message', '')}"
    return Trouble(pod, "slow", said, hopeless=False)


def worst(troubles: Iterable[Trouble | None]) -> Trouble | None:
    """The first that is hopeless, otherwise the first."""
    found = [trouble for trouble in troubles if trouble is not None]
    return next((trouble for trouble in found if trouble.hopeless), found[0] if found else None)


def _container_trouble(
    pod: str,
    status: Mapping[str, Any],
    init: bool,  # which of the two lists of the pod's status it stands in
    age_seconds: float,
    logs: Callable[[str, str, bool], str],
) -> Trouble | None:
    waiting = status.get("state", {}).get("waiting") or {}
    reason, said = waiting.get("reason", ""), waiting.get("message", "")
    container = status["name"]
    if reason in _PULLING:
        message = f"the image {status.get('image', '')} cannot be pulled: {said}"
        return Trouble(pod, "image", message, hopeless=age_seconds > _PATIENCE_SECONDS)
    if reason in _NEVER_STARTS:
        kind = "image" if "Image" in reason else "config"
        message = f"container {container} cannot start: {reason}: {said}"
        return Trouble(pod, kind, message, hopeless=age_seconds > _PATIENCE_SECONDS / 2)
    ended = (
        status.get("lastState", {}).get("terminated")
        or status.get("state", {}).get("terminated")
        or {}
    )
    if not ended or (ended.get("exitCode") == 0 and init):
        return None
    crashes = int(status.get("restartCount", 0)) + (1 if "terminated" in status["state"] else 0)
    hopeless = crashes >= _CRASHES or reason == "CrashLoopBackOff"
    if ended.get("reason") == "OOMKilled":
        message = f"container {container} was killed: it needs more memory than its limit"
        return Trouble(pod, "memory", message, hopeless)
    # A container that still waits to start anew has only the log of the run that ended.
    lines = logs(pod, container, False) or logs(pod, container, True)
    shown = " | ".join(lines.splitlines()[-_SHOWN_LINES:]) or "it wrote no log"
    code = ended.get("exitCode")
    message = f"container {container} ended with status {code}, {crashes} times: {shown}"
    if init:
        return Trouble(pod, "init", message, hopeless and code != _TRY_AGAIN)
    return Trouble(pod, "crash", message, hopeless)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
