"""A step as a Job on a Kubernetes cluster, with an image and resources of its own."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from slipway.kubernetes.jobs import JobProcess
from slipway_airflow.hooks.connections import bucket_environment
from slipway_airflow.hooks.kubernetes import kubernetes_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from slipway.contracts import StepRequest, StepResult
    from slipway.spec.execution import JobSpec
    from slipway.spec.model import ModelSpec


class KubernetesRuntime:
    """Runs a step as a Job, or goes on with the Job that an earlier try of the task made.

    Args:
        spec: Names the workspace bucket and its connection.
        options: Where the Job runs, and with what.
    """

    def __init__(self, spec: ModelSpec, options: JobSpec) -> None:
        self.spec = spec
        self.options = options
        self._process: JobProcess | None = None

    def run(
        self,
        request: StepRequest,
        *,
        environment: Mapping[str, str],
        on_line: Callable[[str], None],
    ) -> StepResult:
        """Run the step to its end; see Runtime.

        The Job has the credentials of its own secret or service account: `environment`, which
        holds the worker's, stays with the worker.
        """
        del environment
        execution = self.spec.execution
        uri = execution.workspace_uri or ""
        connection = execution.workspace_connection or self.spec.publish.connection
        with TemporaryDirectory(prefix="slipway-") as folder:
            self._process = JobProcess(
                request,
                self.options,
                workspace_uri=uri,
                environment={
                    **os.environ,
                    **bucket_environment(connection, uri),
                    **kubernetes_environment(self.options.connection, Path(folder)),
                },
                timeout_seconds=execution.step_timeout_seconds,
                on_line=on_line,
            )
            return self._process.run()

    def stop(self) -> None:
        """Delete the Job, and its pod with it."""
        if self._process is not None:
            self._process.stop()
