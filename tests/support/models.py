"""Folders that look like exported models, without TensorFlow."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def model_files(*, seed: int, data_bytes: int = 20_000) -> dict[str, bytes]:
    """The files of a SavedModel by path, with content of its own for each seed."""
    content = random.Random(seed)
    sizes = {
        "saved_model.pb": 3_000,
        "fingerprint.pb": 60,
        "variables/variables.index": 300,
        "variables/variables.data-00000-of-00001": data_bytes,
        "assets/vocabulary.txt": 500,
        "assets.extra/tf_serving_warmup_requests": 800,
    }
    return {name: content.randbytes(size) for name, size in sizes.items()}


def write_model(folder: Path, *, seed: int, data_bytes: int = 20_000) -> Path:
    """Writes the files of `model_files`."""
    for name, data in model_files(seed=seed, data_bytes=data_bytes).items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return folder
