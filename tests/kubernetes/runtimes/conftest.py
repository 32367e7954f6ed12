"""These tests have an Airflow of their own, and the suite's assertions should speak."""

from __future__ import annotations

import pytest

from support.airflow_home import own_airflow

own_airflow()
pytest.register_assert_rewrite("contract.runtimes.suite")
