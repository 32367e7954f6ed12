"""Where a step runs. To add a place: one module with a Runtime, and one line here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slipway.spec.model import ModelSpec
    from slipway_airflow.runtimes.base import Runtime

# By the kind of a runtime in a spec. Imported when a task runs: every parser imports this module.
RUNTIMES: dict[str, str] = {
    "subprocess": "slipway_airflow.runtimes.subprocess:SubprocessRuntime",
    "kubernetes": "slipway_airflow.runtimes.kubernetes:KubernetesRuntime",
}


def runtime_for(spec: ModelSpec, step: str, variant: str | None) -> Runtime:
    """The runtime that the spec chooses for a step, set up as it says."""
    name = spec.runtime_of(step, variant)
    options = spec.execution.runtimes.get(name)
    module, _, cls = RUNTIMES[options.kind if options else name].partition(":")
    runtime: Runtime = getattr(import_module(module), cls)(spec, options)
    return runtime
