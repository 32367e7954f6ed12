"""The manifest of a Job that runs one step: pure functions of the spec and the request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.kubernetes.manifests.resources import container_resources
from slipway.registry import STEPS
from slipway.workspace_bucket import WORKSPACE_URI

if TYPE_CHECKING:
    from slipway.contracts import StepRequest
    from slipway.spec.execution import JobSpec

CONTAINER = "step"
JOB_NAME = "SLIPWAY_JOB_NAME"
JOB_UID = "SLIPWAY_JOB_UID"
# The one place that a step may write to.
SCRATCH = "/tmp"  # noqa: S108  # inside the pod, whose alone it is
_UID_LABEL = "batch.kubernetes.io/controller-uid"
_KEY_FILE = "service-account.json"
_KEY_FOLDER = "/var/run/slipway/google"
_USER = 50001
_GRACE_SECONDS = 5
_KEY_DIGITS = 12
_LONGEST_NAME = 63


@dataclass(frozen=True)
class JobPlan:
    """One Job.

    Attributes:
        request: What it runs.
        spec: Where and with what.
        key: Digest over all that it is asked, see `job_request.run_key`.
        workspace_uri: The bucket.
        step_timeout_seconds: Time limit of the step itself.
    """

    request: StepRequest
    spec: JobSpec
    key: str
    workspace_uri: str
    step_timeout_seconds: int

    @property
    def name(self) -> str:
        """The same for the same work in the same run, whichever try it is.

        `<model>-<variant>-<step>-<12 hexadecimal digits of the key>`, at most 63 characters.
        """
        parts = [self.request.model, self.request.variant or "", self.request.step]
        readable = "-".join(part.replace("_", "-") for part in parts if part)
        digits = self.key[:_KEY_DIGITS]
        return f"{readable[: _LONGEST_NAME - len(digits) - 1].rstrip('-')}-{digits}"

    @property
    def deadline_seconds(self) -> int:
        """When Kubernetes ends the Job, in seconds from its start, whoever watches."""
        own = self.spec.active_deadline_seconds
        return own or self.spec.start_within_seconds + self.step_timeout_seconds


def job_manifest(plan: JobPlan) -> dict[str, Any]:
    """The Job: one pod, never restarted, since Slipway decides on a further try."""
    labels = _labels(plan)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": plan.name,
            "namespace": plan.spec.namespace,
            "labels": labels,
            "annotations": {"slipway.dev/key": plan.key},
        },
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": plan.deadline_seconds,
            "ttlSecondsAfterFinished": plan.spec.keep_finished_seconds,
            "template": {"metadata": {"labels": labels}, "spec": _pod(plan)},
        },
    }


def _pod(plan: JobPlan) -> dict[str, Any]:
    spec = plan.spec
    volumes: list[dict[str, Any]] = [{"name": "scratch", "emptyDir": {}}]
    if _has_key_file(plan):
        volumes.append({"name": "google", "secret": {"secretName": spec.workspace_secret}})
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        # The step asks nothing of the API server; workload identity brings tokens of its own.
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(plan)],
        "volumes": volumes,
    }
    if spec.service_account:
        pod["serviceAccountName"] = spec.service_account
    if spec.node_selector:
        pod["nodeSelector"] = dict(spec.node_selector)
    return pod


def _container(plan: JobPlan) -> dict[str, Any]:
    spec = plan.spec
    mounts = [{"name": "scratch", "mountPath": SCRATCH}]
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": spec.image,
        "command": ["python3", "-m", "slipway.kubernetes.in_job"],
        "env": _environment(plan),
        "resources": container_resources(plan.spec.resources),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": mounts,
    }
    if _has_key_file(plan):
        mounts.append({"name": "google", "mountPath": _KEY_FOLDER, "readOnly": True})  # type: ignore[dict-item]  # a mount's values are of several types
    elif spec.workspace_secret:
        container["envFrom"] = [{"secretRef": {"name": spec.workspace_secret}}]
    return container


def _environment(plan: JobPlan) -> list[dict[str, Any]]:
    values = {
        "HOME": SCRATCH,
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **plan.spec.environment,
        WORKSPACE_URI: plan.workspace_uri,
        JOB_NAME: plan.name,
    }
    if _has_key_file(plan):
        values["GOOGLE_APPLICATION_CREDENTIALS"] = f"{_KEY_FOLDER}/{_KEY_FILE}"
    if STEPS[plan.request.step].legacy_keras:
        values["TF_USE_LEGACY_KERAS"] = "1"
    uid = {"fieldRef": {"fieldPath": f"metadata.labels['{_UID_LABEL}']"}}
    named = [{"name": name, "value": value} for name, value in sorted(values.items())]
    return [*named, {"name": JOB_UID, "valueFrom": uid}]


def _has_key_file(plan: JobPlan) -> bool:
    return plan.workspace_uri.startswith("gs://") and plan.spec.workspace_secret is not None


def _labels(plan: JobPlan) -> dict[str, str]:
    request = plan.request
    labels = {
        "app.kubernetes.io/name": request.model.replace("_", "-"),
        "app.kubernetes.io/managed-by": "slipway",
        "slipway.dev/model": request.model,
        "slipway.dev/step": request.step,
    }
    return labels | ({"slipway.dev/variant": request.variant} if request.variant else {})
