"""The suite lies outside the test modules; its assertions should speak all the same."""

from __future__ import annotations

import pytest

from support.airflow_home import own_airflow

own_airflow()
pytest.register_assert_rewrite("contract.runtimes.suite")
