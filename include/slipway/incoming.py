"""Dropped models: which folder a run is for, its digest, and its files on this disk."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from slipway.content import FileEntry, digest_of, folder_files
from slipway.errors import TerminalError
from slipway.spec.incoming import IncomingModel
from slipway.storage import open_store
from slipway.storage.base import clean_path

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.spec.model import ModelSpec
    from slipway.storage import ObjectInfo, Store

INCOMING = "incoming"
"""Name of the parameter of a run that is for a dropped model."""

_MOST_FILES = 10_000
_PARALLEL_FILES = 8


def incoming_of(spec: ModelSpec, given: Any) -> IncomingModel | None:
    """A run's parameter `incoming`, proven to be a folder where the spec lets models be dropped.

    Args:
        spec: The model's spec.
        given: The parameter as it came: ``{"uri": ..., "digest": ...}``, or None.

    Returns:
        The folder; None if the run is for none and the spec has a SavedModel of its own.

    Raises:
        TerminalError: It is malformed, lies elsewhere or escapes, or the spec takes none, or the
            run is for none and the spec has nothing else to bring in.
    """
    place = spec.incoming.uri if spec.incoming else None
    if given is None:
        if spec.saved_model is None and place is not None:
            raise TerminalError(
                f"{spec.model}: this run is for no dropped model",
                hint=f"drop one below {place}, or start the run with the parameter {INCOMING}: "
                '{"uri": ..., "digest": ...}',
                subject=INCOMING,
            )
        return None
    if place is None:
        raise _refused(spec, "the spec names no place where models are dropped", "set incoming.uri")
    try:
        found = IncomingModel.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or INCOMING
        hint = 'give {"uri": the folder, "digest": 64 hexadecimal digits}'
        raise _refused(spec, f"{field}: {first['msg']}", hint) from None
    name = found.uri.removeprefix(f"{place.rstrip('/')}/")
    if name == found.uri or not _is_a_folder(name):
        raise _refused(
            spec,
            f"{found.uri!r} is not a folder directly below {place}",
            "drop the model there, in a folder whose name does not begin with a dot",
        )
    return found


def digest_of_dropped(uri: str) -> str:
    """The digest of a dropped folder, by `slipway.content.digest_of`; reads all of it.

    Raises:
        SlipwayError: There is nothing, or the bucket does not give it.
    """
    store, folder = _open(uri)
    files = []
    for info in _listed(store, folder):
        whole = hashlib.sha256()
        for block in store.read_blocks(info.path):
            whole.update(block)
        files.append(FileEntry(_below(folder, info), info.size, whole.hexdigest()))
    return digest_of(files)


def fetch(model: IncomingModel, target: Path, *, largest_bytes: int | None = None) -> None:
    """Copies a dropped folder to this disk; what comes is what the digest says.

    Args:
        model: The folder.
        target: An empty folder.
        largest_bytes: More than this is refused before anything is read; None: without limit.

    Raises:
        TerminalError: There is no such folder, it is too large, a path in it escapes, or its
            content is not what the digest says.
        TransientError: The bucket does not answer.
    """
    store, folder = _open(model.uri)
    found = _listed(store, folder)
    size = sum(info.size for info in found)
    most = size if largest_bytes is None else largest_bytes
    if size > most or len(found) > _MOST_FILES:
        raise TerminalError(
            f"{model.uri} has {len(found)} files of {size} bytes in all; allowed: {_MOST_FILES} "
            f"files of {most} bytes",
            hint="raise incoming.largest_bytes in the spec if a model is that large",
            subject=model.uri,
        )

    def copy(info: ObjectInfo) -> None:
        local = target / clean_path(_below(folder, info))
        local.parent.mkdir(parents=True, exist_ok=True)
        store.download(info.path, local)

    with ThreadPoolExecutor(_PARALLEL_FILES) as pool:
        list(pool.map(copy, found))
    if digest_of(folder_files(target)) != model.digest:
        raise TerminalError(
            f"{model.uri} is not what this run is for: its digest is not {model.digest[:12]}",
            hint="the folder was written to since; start a run for what is there now",
            subject=model.uri,
        )


def _open(uri: str) -> tuple[Store, str]:
    place, _, folder = uri.rstrip("/").rpartition("/")
    return open_store(place), folder


def _listed(store: Store, folder: str) -> list[ObjectInfo]:
    found = [info for info in store.list(folder) if not info.path.endswith("/")]
    if not found:
        raise TerminalError(
            f"There is no folder {store.uri}/{folder}.",
            hint="It was removed, or never complete: drop the model again.",
            subject=f"{store.uri}/{folder}",
        )
    return found


def _below(folder: str, info: ObjectInfo) -> str:
    return info.path.removeprefix(f"{folder}/")


def _is_a_folder(name: str) -> bool:
    plain = name.isprintable() and not name.startswith(".")
    return bool(name) and plain and not {"/", "\\", "%", "?", "#"} & set(name)


def _refused(spec: ModelSpec, problem: str, hint: str) -> TerminalError:
    return TerminalError(
        f"{spec.model}: the parameter {INCOMING} is refused: {problem}", hint=hint, subject=INCOMING
    )
