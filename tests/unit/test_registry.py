from __future__ import annotations

import subprocess
import sys

import pytest

from slipway.registry import STEPS, TECHNIQUES, config_class
from slipway.spec.base import StepConfig


def test_steps_are_sorted() -> None:
    assert list(STEPS) == sorted(STEPS)


@pytest.mark.parametrize("name", [name for name, entry in STEPS.items() if entry.config])
def test_a_config_is_a_step_config_with_a_described_option_each(name: str) -> None:
    config = config_class(name)
    assert issubclass(config, StepConfig)
    assert all(field.description for field in config.model_fields.values())


@pytest.mark.parametrize("name", TECHNIQUES)
def test_every_technique_works_with_its_defaults(name: str) -> None:
    config_class(name)()


def test_every_step_can_be_run_and_importing_it_imports_no_tensorflow() -> None:
    modules = [entry.module for entry in STEPS.values()]
    code = (
        "import sys\n"
        "from importlib import import_module\n"
        f"for name in {modules!r}: assert callable(import_module(name).run), name\n"
        "heavy = {'tensorflow', 'tf_keras', 'keras', 'airflow', 'sklearn'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
