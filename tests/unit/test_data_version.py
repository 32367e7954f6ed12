"""A definition may say which data it reads; the keys of its steps depend on that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slipway.contracts import StepRequest
from slipway.definition import data_version
from slipway.errors import TerminalError
from slipway.keys import step_key

if TYPE_CHECKING:
    from pathlib import Path

READS_A_FILE = """
from pathlib import Path

def data_version():
    return Path({stamp!r}).read_text()
"""


def key(definition: Path) -> str:
    return step_key(
        StepRequest(
            step="train",
            model="tiny",
            definition=str(definition),
            workspace=str(definition.parent),
        )
    )


def written(folder: Path, text: str) -> Path:
    definition = folder / "tiny.py"
    definition.write_text(text, "utf-8")
    return definition


def test_a_step_is_known_only_while_the_data_stay_the_same(tmp_path: Path):
    stamp = tmp_path / "stamp"
    definition = written(tmp_path, READS_A_FILE.format(stamp=str(stamp)))
    keys = []
    for version in ("monday", "monday", "tuesday"):
        stamp.write_text(version, "utf-8")
        keys.append(key(definition))
    assert keys[0] == keys[1]
    assert keys[2] != keys[1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "def load_data(split):\n    def data_version(): ...\n",
        "class Own:\n    def data_version(self): ...\n",
    ],
)
def test_without_the_function_the_definition_is_not_imported_for_its_key(tmp_path: Path, text: str):
    definition = written(tmp_path, f"{text}\nraise RuntimeError('imported')\n")
    assert data_version(definition) is None
    assert key(definition) == key(definition)


@pytest.mark.parametrize("value", ["None", "7", "''"])
def test_what_is_no_version_is_refused(tmp_path: Path, value: str):
    definition = written(tmp_path, f"def data_version():\n    return {value}\n")
    with pytest.raises(TerminalError, match=r"data_version in tiny\.py returned") as refused:
        key(definition)
    assert refused.value.subject == str(definition)


def test_a_function_that_raises_is_named_with_its_line(tmp_path: Path):
    definition = written(tmp_path, "def data_version():\n    return {}['stamp']\n")
    with pytest.raises(TerminalError, match=r"data_version in tiny\.py:2 raised KeyError"):
        key(definition)


def test_a_definition_with_a_mistake_leaves_it_to_the_step_to_say_so(tmp_path: Path):
    assert data_version(written(tmp_path, "def data_version(:\n")) is None
