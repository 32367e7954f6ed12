"""Buckets and folders behind one interface.

To add a store: one module with a Store, one line in `SCHEMES`, one subclass of the contract suite.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from slipway.errors import TerminalError
from slipway.storage.base import (
    UNCHANGED,
    Commit,
    ObjectInfo,
    PreconditionFailed,
    Store,
    StoredObject,
    Unchanged,
)
from slipway.storage.credentials import StoreCredentials

if TYPE_CHECKING:
    from collections.abc import Callable

Credentials = StoreCredentials

# scheme -> "module:callable"; the callable takes (uri, credentials or None)
SCHEMES = {
    "file": "slipway.storage.local:open_local",
    "gs": "slipway.storage.gcs:open_gcs",
    "s3": "slipway.storage.s3:open_s3",
}

__all__ = [
    "SCHEMES",
    "UNCHANGED",
    "Commit",
    "Credentials",
    "ObjectInfo",
    "PreconditionFailed",
    "Store",
    "StoreCredentials",
    "StoredObject",
    "Unchanged",
    "open_store",
]


def open_store(uri: str, credentials: StoreCredentials | None = None) -> Store:
    """Opens ``s3://`` or ``gs://bucket/prefix``, ``file:///absolute/folder`` or a plain path.

    Nothing is contacted yet: `Store.check_access` does that.

    Args:
        uri: Where the store is. A plain path is a local folder, made when first written to.
        credentials: For an object store; read from the standard environment if not given.

    Raises:
        TerminalError: The scheme is unknown, its client is not installed, or the rest of the
            address does not fit it.
    """
    scheme = uri.partition("://")[0] if "://" in uri else "file"
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in sorted(SCHEMES))
        raise TerminalError(
            f"No store is known for {scheme}:// in {uri}.",
            hint=f"Use one of {known} or a plain path.",
            subject=uri,
        )
    module, _, name = SCHEMES[scheme].partition(":")
    opener: Callable[[str, StoreCredentials | None], Store]
    try:
        opener = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise TerminalError(
            f"{scheme}:// needs the Python package of {error.name}, which is not installed.",
            hint="Install what its store needs: pip install '.[gcs]' in Slipway's checkout.",
            subject=uri,
        ) from error
    return opener(uri, credentials)
