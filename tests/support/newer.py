"""Another version of a model that is published already."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

from slipway.serving.publish import publish

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.storage import Store


def publish_newer(store: Store, model: str, servable: Path, copy: Path, golden: bytes) -> int:
    """Publishes a copy of a SavedModel with other content and the same answers; its version.

    Args:
        store: The bucket.
        model: The model of which it becomes a version.
        servable: The SavedModel.
        copy: A folder that is not there yet.
        golden: The golden requests that it answers.
    """
    shutil.copytree(servable, copy)
    extra = copy / "assets.extra"
    extra.mkdir(exist_ok=True)
    (extra / "note.txt").write_text(f"made at {time.time_ns()} ns", "utf-8")
    return publish(store, model, copy, variant="newer", metrics={}, golden=golden).version
