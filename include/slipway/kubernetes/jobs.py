"""A step as a Kubernetes Job: made or found, followed to its end, never left behind."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from slipway.errors import SlipwayError, TransientError
from slipway.kubernetes.client import Cluster
from slipway.kubernetes.errors import OutdatedError
from slipway.kubernetes.job_log import LogReader
from slipway.kubernetes.job_manifest import CONTAINER, JobPlan, job_manifest
from slipway.kubernetes.job_request import outcome_path, read_outcome, request_path, send
from slipway.kubernetes.job_state import Seen, death, hopeless
from slipway.storage import StoreCredentials, open_store
from slipway.workspace import Workspace
from slipway.workspace_bucket import SharedWorkspace, WorkspaceBucket

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from slipway.contracts import StepOutcome, StepRequest, StepResult
    from slipway.spec.execution import JobSpec

    T = TypeVar("T")

_POLL_SECONDS = 1.0
# Without a word for so long, the log is asked for again: its stream may be dead.
_QUIET_SECONDS = 30.0
_UNREACHABLE_SECONDS = 120.0


class JobProcess:
    """One step as a Job.

    Its name follows from what it is asked, so whoever asks the same in the same run finds the Job
    that is there: a running one is followed on, a finished one gives its outcome. Once its outcome
    was taken, the Job is deleted.

    Args:
        request: What to run; its paths are those of this machine.
        spec: Where and with what.
        workspace_uri: The bucket with which artifacts are exchanged.
        environment: Says which cluster and who we are in the bucket: SLIPWAY_KUBECONFIG and the
            variables of `StoreCredentials`. None of it reaches the Job.
        timeout_seconds: Time limit of the step.
        on_line: Called with each line that the step prints.
    """

    def __init__(
        self,
        request: StepRequest,
        spec: JobSpec,
        *,
        workspace_uri: str,
        environment: Mapping[str, str],
        timeout_seconds: int = 3600,
        on_line: Callable[[str], None] = print,
    ) -> None:
        self.request = request
        self.spec = spec
        self.timeout_seconds = timeout_seconds
        self.workspace_uri = workspace_uri
        self.on_line = on_line
        store = open_store(workspace_uri, StoreCredentials.from_environment(environment))
        self.workspace = SharedWorkspace(Path(request.workspace), WorkspaceBucket(store))
        self._environment = dict(environment)
        self._name: str | None = None
        self._stopped = threading.Event()
        self._reader = LogReader(on_line)
        self._unreachable_since: float | None = None

    def run(self) -> StepResult:
        """Run the step to its end.

        Raises:
            SlipwayError: the step's own failure, or how its Job ended; TransientError if the
                cluster or the bucket does not answer, and then the Job goes on.
        """
        self._cluster = cluster = Cluster.connect(self._environment)
        plan = self._sent()
        self._name = plan.name
        job = self._make_or_find(cluster, plan)
        if self._stopped.is_set():  # the Job may have been made after `stop` had looked for it
            self.stop()
        try:
            outcome = self._follow(cluster, job)
        except _Over as error:
            self._tidy(cluster, job)
            raise error.cause from None
        result = self.workspace.bring(outcome).unwrap() if outcome.result else None
        self._tidy(cluster, job)
        if result is None:
            return outcome.unwrap()
        own = Workspace(self.workspace.root)
        if result.key:
            own.remember(result)
        elif result.artifact is not None:
            own.note_latest(result)
        return result

    def stop(self) -> None:
        """Delete the Job and its pod; safe to call at any time."""
        self._stopped.set()
        if self._name is not None:
            self._cluster.delete("Job", self.spec.namespace, self._name)

    def _sent(self) -> JobPlan:
        job = send(self.request, self.workspace, timeout_seconds=self.timeout_seconds)
        plan = JobPlan(
            self.request, self.spec, job.key(self.spec), self.workspace_uri, self.timeout_seconds
        )
        text = job.model_dump_json(indent=1).encode()
        self.workspace.bucket.store.put(request_path(plan.name), text)
        return plan

    def _make_or_find(self, cluster: Cluster, plan: JobPlan) -> dict[str, Any]:
        where = f"Job {plan.name} in namespace {plan.spec.namespace}"
        found = cluster.get("Job", plan.spec.namespace, plan.name)
        if found is None:
            try:
                made = cluster.create(job_manifest(plan))
            except OutdatedError:
                found = cluster.get("Job", plan.spec.namespace, plan.name)
            else:
                self.on_line(f"made {where}")
                return made
        if found is None or found["metadata"].get("deletionTimestamp"):
            raise TransientError(
                f"{where} is being deleted",
                hint="it is tried again once the cluster has removed it",
                subject=plan.name,
            )
        self.on_line(f"going on with {where}")
        return found

    def _follow(self, cluster: Cluster, job: dict[str, Any]) -> StepOutcome:
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        began = time.monotonic()
        while True:
            seen = self._patiently(lambda: self._look(cluster, job, time.monotonic() - began))
            if seen is None:
                raise TransientError(
                    f"Job {name} was deleted before it was done",
                    hint="it is tried again, unless the task was ended on purpose",
                    subject=name,
                )
            if seen.started:
                self._read_log(cluster, seen)
            if seen.finished:
                outcome = self._patiently(lambda: read_outcome(self.workspace.bucket, name, uid))
                if outcome is None:
                    raise _Over(death(seen, list(self._reader.tail)))
                return outcome
            if not seen.started and (cause := hopeless(seen)) is not None:
                raise _Over(cause)
            time.sleep(_POLL_SECONDS)

    def _look(self, cluster: Cluster, job: dict[str, Any], waited: float) -> Seen | None:
        namespace, name = self.spec.namespace, job["metadata"]["name"]
        now = cluster.get("Job", namespace, name)
        if now is None or now["metadata"]["uid"] != job["metadata"]["uid"]:
            return None
        pods = cluster.list("Pod", namespace, labels={"batch.kubernetes.io/job-name": name})
        events = [] if pods else cluster.events_of(namespace, name)
        return Seen(now, pods[0] if pods else None, events, waited, self.spec.start_within_seconds)

    def _read_log(self, cluster: Cluster, seen: Seen) -> None:
        """Hand on what the step prints, until its log ends or nothing came for a while."""
        if seen.pod is None:
            return
        lines = cluster.follow_log(
            self.spec.namespace,
            seen.pod["metadata"]["name"],
            CONTAINER,
            since=self._reader.since,
            quiet_seconds=_QUIET_SECONDS,
        )
        self._patiently(lambda: self._reader.read(lines))

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Ask; a server that is away for a while does not end a step that goes on without it."""
        while True:
            try:
                answer = ask()
            except TransientError:
                now = time.monotonic()
                self._unreachable_since = self._unreachable_since or now
                if now - self._unreachable_since > _UNREACHABLE_SECONDS:
                    raise
                time.sleep(_POLL_SECONDS)
            else:
                self._unreachable_since = None
                return answer

    def _tidy(self, cluster: Cluster, job: dict[str, Any]) -> None:
        """What was taken is no longer needed; `ttlSecondsAfterFinished` does it if this cannot."""
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        try:
            cluster.delete("Job", self.spec.namespace, name)
            for path in (request_path(name), outcome_path(name, uid)):
                self.workspace.bucket.store.delete(path)
        except SlipwayError as error:
            self.on_line(f"Job {name} stays until it expires: {error.message}")


class _Over(Exception):  # noqa: N818  # not an error of its own: it carries one
    """The Job will bring no outcome."""

    def __init__(self, cause: SlipwayError) -> None:
        super().__init__(cause.message)
        self.cause = cause
