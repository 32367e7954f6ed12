"""The worker's own machine keeps the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psutil
import pytest

from contract.runtimes.suite import Place, RuntimeContract
from slipway_airflow.runtimes.subprocess import SubprocessRuntime

if TYPE_CHECKING:
    from slipway.spec.model import ModelSpec


class Worker:
    """Steps as processes of this one."""

    def runtime(self, spec: ModelSpec) -> SubprocessRuntime:
        return SubprocessRuntime(spec)

    def execution(self) -> dict[str, Any]:
        return {}

    def is_empty(self) -> bool:
        children = psutil.Process().children(recursive=True)
        return not any("slipway.run" in child.cmdline() for child in children)


class TestSubprocess(RuntimeContract):
    @pytest.fixture
    def place(self) -> Place:
        return Worker()
