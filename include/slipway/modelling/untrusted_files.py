"""The files of a SavedModel that a stranger made, without loading it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from slipway.content import folder_files
from slipway.errors import SlipwayError
from slipway.modelling import saved_model
from slipway.modelling.untrusted_graph import collected_assets
from slipway.storage.base import clean_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A loader or server reads these before, or instead of, the saved_model.pb that was scanned.
_READ_INSTEAD = ("saved_model.cpb", "saved_model.pbtxt", "model.tflite")


def file_problems(folder: Path) -> Iterator[tuple[str, str]]:
    """What is wrong with the files: pairs of the file and the reason.

    Raises:
        TerminalError: The folder is missing, holds a link, or its `saved_model.pb` is none.
    """
    sizes = {entry.path: entry.size for entry in folder_files(folder)}
    for name in _READ_INSTEAD:
        if name in sizes:
            yield name, f"{name} would be loaded in place of saved_model.pb, which was read"
    for meta in saved_model.parse(folder).meta_graphs:
        for name in {asset.filename for asset in (*meta.asset_file_def, *collected_assets(meta))}:
            problem = _asset_problem(name, sizes)
            if problem:
                yield name, f"the asset {name!r} {problem}"
    yield from _variable_problems(folder, sizes)


def _asset_problem(name: str, sizes: dict[str, int]) -> str | None:
    try:
        clean_path(name)
    except SlipwayError:
        return "lies outside the folder assets"
    return None if f"assets/{name}" in sizes else "is missing"


def _variable_problems(folder: Path, sizes: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Whether the index promises more than there is: a loader makes room for it first."""
    import tensorflow as tf

    index = "variables/variables.index"
    if index not in sizes:
        return
    try:
        reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        shapes = reader.get_variable_to_shape_map()
        dtypes = reader.get_variable_to_dtype_map()
    except Exception as error:  # noqa: BLE001  # whatever the reader says of a damaged index
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        yield index, f"{index} cannot be read: {first}"
        return
    data = sum(size for path, size in sizes.items() if path.startswith("variables/variables.data-"))
    promised = sum(_bytes(shapes[name], dtypes[name]) for name in shapes)
    if promised > data:
        yield index, f"{index} promises {promised} bytes of variables, but the files hold {data}"


def _bytes(shape: list[int], dtype: Any) -> int:
    return math.prod(shape) * (1 if dtype.name == "string" else int(dtype.size))
