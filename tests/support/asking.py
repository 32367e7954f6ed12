"""Asking a Prometheus until it has seen what a test did."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from slipway.rollout.prometheus import PrometheusClient

_SECONDS = 20


def eventually(client: PrometheusClient, query: str, expected: float) -> None:
    """Waits until a query gives a number."""
    deadline, found = time.monotonic() + _SECONDS, None
    while time.monotonic() < deadline:
        found = client.query(query)
        if found == pytest.approx(expected):
            return
        time.sleep(0.1)
    pytest.fail(f"{query} gives {found}, not {expected}")
