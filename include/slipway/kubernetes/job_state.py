"""How a Job stands, from the objects that the API server has of it: pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from slipway.contracts import StepFailure
from slipway.errors import SlipwayError, TerminalError, TransientError
from slipway.kubernetes.in_job import out_of_memory
from slipway.kubernetes.job_manifest import CONTAINER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What no waiting mends; the rest may be a registry or a node that has a bad minute.
_HOPELESS = {"InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"}
_PULLING = {"ErrImagePull", "ImagePullBackOff"}
_PULL_PATIENCE_SECONDS = 20.0
_REFUSED_PATIENCE_SECONDS = 5.0
_KILLED = {128 + 9, 128 + 15}
_SIGNALS = 128


@dataclass(frozen=True)
class Seen:
    """What was seen at one look.

    Attributes:
        job: The Job.
        pod: Its pod; None if there is none, yet or any more.
        events: About the Job, when it has no pod.
        waited_seconds: Since the Job was found.
        start_within_seconds: How long a pod may wait for a node and its image.
    """

    job: Mapping[str, Any]
    pod: Mapping[str, Any] | None
    events: Sequence[Mapping[str, Any]]
    waited_seconds: float
    start_within_seconds: float

    @property
    def subject(self) -> str:
        """The Job, for messages."""
        return f"jobs/{self.job['metadata']['name']}"

    @property
    def started(self) -> bool:
        """Whether the step's container runs or ran."""
        state = self.container.get("state", {})
        return "running" in state or "terminated" in state

    @property
    def terminated(self) -> Mapping[str, Any]:
        """How the container ended; empty if it has not."""
        found: Mapping[str, Any] = self.container.get("state", {}).get("terminated") or {}
        return found

    @property
    def finished(self) -> bool:
        """Whether the step can bring no outcome any more that is not there yet."""
        return bool(self.terminated) or bool(_condition(self.job, "Complete", "Failed"))

    @property
    def container(self) -> Mapping[str, Any]:
        """The status of the step's container; empty if there is none."""
        statuses = (self.pod or {}).get("status", {}).get("containerStatuses") or ()
        return next((one for one in statuses if one["name"] == CONTAINER), {})


def hopeless(seen: Seen) -> SlipwayError | None:
    """Why a Job that has not started never will; None while it may."""
    if seen.pod is None:
        return _refused(seen)
    waiting = seen.container.get("state", {}).get("waiting") or {}
    reason, said = str(waiting.get("reason", "")), str(waiting.get("message", ""))
    image = _image(seen.pod)
    late = seen.waited_seconds > seen.start_within_seconds
    if reason in _PULLING and seen.waited_seconds > min(
        _PULL_PATIENCE_SECONDS, seen.start_within_seconds
    ):
        return TerminalError(
            f"the image {image} cannot be pulled ({reason}): {said}",
            hint="correct image in execution.runtimes, or give the node the right to pull it",
            subject=seen.subject,
        )
    if reason in _HOPELESS:
        return TerminalError(
            f"the container of {seen.subject} cannot be made ({reason}): {said}",
            hint="correct image, workspace_secret or service_account in execution.runtimes",
            subject=seen.subject,
        )
    if not late:
        return None
    scheduled = _condition(seen.pod, "PodScheduled", status="False")
    if scheduled is not None:
        return TransientError(
            f"no node takes the pod of {seen.subject} within {seen.start_within_seconds:g} s: "
            f"{scheduled.get('message', '')}",
            hint="add nodes, or lower resources or node_selector in execution.runtimes",
            subject=seen.subject,
        )
    return TransientError(
        f"the pod of {seen.subject} did not start within {seen.start_within_seconds:g} s: "
        f"{reason or 'no reason is given'} {said}".rstrip(),
        hint="read its events: kubectl describe pod",
        subject=seen.subject,
    )


def death(seen: Seen, tail: Sequence[str]) -> SlipwayError:
    """How a Job ended that left no outcome.

    Args:
        seen: The last look.
        tail: The last lines that the step printed.
    """
    terminated = seen.terminated
    if terminated.get("reason") == "OOMKilled":
        return out_of_memory(seen.subject)
    return _own_words(terminated) or _taken_away(seen) or _ended(seen, tail)


def _taken_away(seen: Seen) -> SlipwayError | None:
    """Why the cluster ended the pod, if it did."""
    failed = _condition(seen.job, "Failed")
    if failed is not None and failed.get("reason") == "DeadlineExceeded":
        seconds = seen.job["spec"].get("activeDeadlineSeconds")
        return TransientError(
            f"{seen.subject} was still running after {seconds} s, its activeDeadlineSeconds",
            hint="raise step_timeout_seconds or active_deadline_seconds in execution",
            subject=seen.subject,
        )
    status = (seen.pod or {}).get("status", {})
    disrupted = _condition(seen.pod or {}, "DisruptionTarget") or {}
    why = status.get("reason") or disrupted.get("reason")
    if not why:
        return None
    said = status.get("message") or disrupted.get("message") or ""
    return TransientError(
        f"the pod of {seen.subject} was taken from its node ({why}): {said}",
        hint="it is tried again; give it a node of its own if this goes on",
        subject=seen.subject,
    )


def _ended(seen: Seen, tail: Sequence[str]) -> SlipwayError:
    """What the container's exit status says."""
    code = seen.terminated.get("exitCode")
    if code is None:
        return TransientError(
            f"the pod of {seen.subject} was deleted before it was done",
            hint="it is tried again; somebody or a drained node deleted it",
            subject=seen.subject,
        )
    if code in _KILLED:
        return TransientError(
            f"the container of {seen.subject} was ended by signal {code - _SIGNALS}",
            hint="it is tried again; read the node's events if this goes on",
            subject=seen.subject,
        )
    lines = "\n".join(tail)
    return TerminalError(
        f"the container of {seen.subject} ended with status {code} and no outcome; its last "
        f"lines:\n{lines}",
        hint="check that the image has this version of Slipway and what the step needs",
        subject=seen.subject,
    )


def _refused(seen: Seen) -> SlipwayError | None:
    """Why the Job controller could make no pod."""
    said = next(
        (str(one.get("message", "")) for one in seen.events if one.get("reason") == "FailedCreate"),
        "",
    )
    if "exceeded quota" in said:
        if seen.waited_seconds <= seen.start_within_seconds:
            return None
        return TransientError(
            f"the namespace's quota did not admit the pod of {seen.subject} within "
            f"{seen.start_within_seconds:g} s: {said}",
            hint="raise the quota, or lower resources in execution.runtimes",
            subject=seen.subject,
        )
    if said and seen.waited_seconds > _REFUSED_PATIENCE_SECONDS:
        return TerminalError(
            f"the cluster refuses the pod of {seen.subject}: {said}",
            hint="correct service_account and the like in execution.runtimes",
            subject=seen.subject,
        )
    if seen.waited_seconds <= seen.start_within_seconds:
        return None
    return TransientError(
        f"the cluster made no pod for {seen.subject} within {seen.start_within_seconds:g} s",
        hint="check that the Job controller runs, and the events: kubectl describe job",
        subject=seen.subject,
    )


def _own_words(terminated: Mapping[str, Any]) -> SlipwayError | None:
    """What the container itself said about its failure."""
    try:
        return StepFailure.model_validate_json(str(terminated.get("message", ""))).error()
    except ValidationError:
        return None


def _condition(
    found: Mapping[str, Any], *types: str, status: str = "True"
) -> Mapping[str, Any] | None:
    conditions = found.get("status", {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] in types and c["status"] == status), None)


def _image(pod: Mapping[str, Any]) -> str:
    return str(next(c["image"] for c in pod["spec"]["containers"] if c["name"] == CONTAINER))
