"""These tests have an Airflow of their own."""

from __future__ import annotations

from support.airflow_home import own_airflow

own_airflow()
