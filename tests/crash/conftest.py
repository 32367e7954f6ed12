"""Every crash test runs on a folder, on a real S3 server and on a GCS server alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.deaths import Kills
from support.victims import Place

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(params=["local", "s3", "gcs"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty one."""
    if request.param == "local":
        return Place("local", str(tmp_path / "published"), None)
    credentials = request.getfixturevalue(f"{request.param}_server").credentials
    return Place(request.param, request.getfixturevalue(f"{request.param}_uri"), credentials)


@pytest.fixture
def kills(place: Place, capsys: pytest.CaptureFixture[str]) -> Callable[[str], Kills]:
    """Kills of some work at the place, with their progress shown."""

    def say(line: str) -> None:
        with capsys.disabled():
            print(line, flush=True)  # noqa: T201 - minutes go by here

    return lambda name: Kills(name, place.kind, say)
