"""A process that nothing of this machine tells who it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_OURS = ("AWS_", "GOOGLE_", "CLOUDSDK_", "GCE_", "STORAGE_EMULATOR", "SLIPWAY_GOOGLE", "SLIPWAY_S3")


def no_identity(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Removes every variable of the clouds; a home without their files; no metadata server."""
    for name in list(os.environ):
        if name.startswith(_OURS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
