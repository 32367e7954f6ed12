"""What people and dying processes leave in a bucket."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from slipway.content import folder_files
from slipway.serving.publish import publish
from support.models import write_model

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.serving.publish import Published
    from slipway.storage import Store

MODEL = "digits"
LATER = timedelta(days=2)


def tomorrow() -> datetime:
    """A time at which everything that lies there now is old."""
    return datetime.now(UTC) + LATER


def publish_some(store: Store, folder: Path, count: int) -> list[Published]:
    """Publishes models with the seeds 1 to count."""
    return [
        publish(
            store,
            MODEL,
            write_model(folder / f"m{seed}", seed=seed),
            variant="original",
            metrics={"accuracy": 0.9},
            golden=b'{"requests": []}',
        )
        for seed in range(1, count + 1)
    ]


def copy_by_hand(store: Store, folder: Path, name: str) -> None:
    """Copies a folder as `aws s3 cp --recursive` would."""
    for entry in folder_files(folder):
        store.upload(folder / entry.path, f"{MODEL}/{name}/{entry.path}")
