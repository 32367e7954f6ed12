"""One real stack for the whole tier: S3, Prometheus, the model server, Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slipway.local.airflow import AirflowApi
from slipway.local.stack import Stack
from support.house import House
from support.specs import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    stack = Stack(tmp_path_factory.mktemp("stack"), PROJECT)
    try:
        stack.up()
        api = AirflowApi(stack.airflow.url)
        for model in ("breast_cancer", "diabetes", "digits"):
            api.wait_for_dag(f"{model}__build")
            api.wait_for_dag(f"{model}__rollout")
        yield House(stack, api)
    finally:
        stack.down()
