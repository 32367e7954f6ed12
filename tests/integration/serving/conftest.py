from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.served import write_models, write_tflite

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """times1, times2, times3, mixed and slow, plus times2.tflite."""
    folder = tmp_path_factory.mktemp("models")
    write_models(folder)
    write_tflite(folder / "times2", folder / "times2.tflite")
    return folder


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """An empty base path."""
    folder = tmp_path / "m"
    folder.mkdir()
    return folder
