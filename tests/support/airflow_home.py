"""An Airflow of the test process's own; must be set up before Airflow is imported."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

from support.specs import PROJECT


@lru_cache
def own_airflow() -> Path:
    """The folder of this process's Airflow; its dags/ is what it parses, empty at first.

    Raises:
        RuntimeError: if Airflow was imported before, so that it looks elsewhere.
    """
    if "airflow.settings" in sys.modules:
        message = "Airflow was imported before its home was set"
        raise RuntimeError(message)
    home = Path(tempfile.mkdtemp(prefix="slipway-airflow-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    (home / "dags").mkdir()
    os.environ.update(environment(home))
    return home


def environment(home: Path) -> dict[str, str]:
    """What an Airflow in that folder must be told."""
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


@lru_cache
def with_database() -> Path:
    """As `own_airflow`, with its tables made and the project's DAG file in its dags/."""
    home = own_airflow()
    from airflow.utils.db import initdb

    initdb()
    (home / "dags" / "models").mkdir()
    shutil.copy(PROJECT / "dags" / "model_pipelines.py", home / "dags")
    return home
