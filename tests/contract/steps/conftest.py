"""One trained model, which every technique's contract test starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.techniques import ask

if TYPE_CHECKING:
    from slipway.contracts import ArtifactRef


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ArtifactRef:
    result = ask("train", tmp_path_factory.mktemp("trained"), config={"epochs": 3})
    assert result.artifact is not None
    return result.artifact


@pytest.fixture(scope="session")
def quantized(tmp_path_factory: pytest.TempPathFactory, trained: ArtifactRef) -> ArtifactRef:
    workspace = tmp_path_factory.mktemp("quantized")
    result = ask("quantize", workspace, config={"epochs": 1}, source=trained)
    assert result.artifact is not None
    return result.artifact
