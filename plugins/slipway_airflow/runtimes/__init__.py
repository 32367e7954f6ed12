"""Where a step runs. To add a place: one module with a Runtime, and one line here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slipway.spec.model import ExecutionSpec
    from slipway_airflow.runtimes.base import Runtime

RUNTIMES: dict[str, str] = {
    "subprocess": "slipway_airflow.runtimes.subprocess:SubprocessRuntime",
}

DEFAULT = "subprocess"


def runtime_for(execution: ExecutionSpec, name: str = DEFAULT) -> Runtime:
    """The runtime of that name, set up as the spec says.

    Raises:
        KeyError: if there is no such runtime.
    """
    module, _, cls = RUNTIMES[name].partition(":")
    runtime: Runtime = getattr(import_module(module), cls)(execution)
    return runtime
