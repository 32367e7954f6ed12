from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slipway.errors import TerminalError
from slipway.steps.check import check_definition

if TYPE_CHECKING:
    from pathlib import Path

DEFINITION = "def load_data(split): ...\n"


def definition(folder: Path, rest: str = "") -> Path:
    file = folder / "tiny.py"
    file.write_text(DEFINITION + rest)
    return file


def test_a_metric_that_nobody_defines_is_named_before_any_training(tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match="'acuracy'; did you mean 'accuracy'"):
        check_definition(definition(tmp_path), ["acuracy"])


def test_built_in_and_own_metrics_are_known(tmp_path: Path) -> None:
    file = definition(tmp_path, "METRICS = {'recall': len}\n")
    check_definition(file, ["accuracy", "recall"])


def test_metrics_that_only_running_the_module_shows_are_not_judged(tmp_path: Path) -> None:
    check_definition(definition(tmp_path, "METRICS = dict(recall=len)\n"), ["recall"])
