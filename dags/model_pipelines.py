"""Every spec in models/ as two Airflow DAGs: <model>__build and <model>__rollout."""

from __future__ import annotations

from pathlib import Path

from slipway_airflow.dag_builder import build_dags

globals().update(build_dags(Path(__file__).parent / "models"))
