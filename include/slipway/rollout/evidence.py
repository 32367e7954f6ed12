"""The evidence of one rollout: one JSON document in the bucket, to which every step adds."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from slipway.content import bytes_digest
from slipway.errors import TerminalError, TransientError
from slipway.serving.layout import Layout
from slipway.storage import PreconditionFailed

if TYPE_CHECKING:
    from slipway.storage import Store

SCHEMA_VERSION = 1

_ROUNDS = 20
_PAUSE_SECONDS = 0.05
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class Evidence:
    """What was asked, found and decided in one rollout.

    Args:
        store: Open at the base URI.
        model: The model's name.
        version: The canary.
        rollout_id: The run. Where it holds what no object's name should, the name gets "-" for it,
            and the beginning of its sha256 so that two runs never share a document.
    """

    def __init__(self, store: Store, model: str, version: int, rollout_id: str) -> None:
        self._store = store
        self._head = {
            "schema_version": SCHEMA_VERSION,
            "model": model,
            "version": version,
            "rollout_id": rollout_id,
        }
        self.path = Layout(model).rollout(version, _object_name(rollout_id))

    @property
    def uri(self) -> str:
        """Where the document is."""
        return f"{self._store.uri}/{self.path}"

    def add(self, step: str, **facts: Any) -> None:
        """Add what a step found. A step that runs again adds again: nothing is overwritten.

        Raises:
            TransientError: Too many others wrote at the same time, or the store does not answer.
        """
        part = {"step": step, "at": datetime.now(UTC).isoformat(timespec="milliseconds"), **facts}
        for _ in range(_ROUNDS):
            document, etag = self._read()
            document["steps"].append(part)
            data = json.dumps(document, indent=1, allow_nan=False).encode()
            try:
                self._store.put(self.path, data, if_absent=etag is None, if_match=etag)
            except PreconditionFailed:
                time.sleep(_PAUSE_SECONDS)
            else:
                return
        raise TransientError(
            f"the evidence {self.uri} was written by others {_ROUNDS} times in a row",
            hint="run only one rollout under this id",
            subject=self.path,
        )

    def read(self) -> dict[str, Any]:
        """The whole document; without steps if nothing was added yet."""
        return self._read()[0]

    def _read(self) -> tuple[dict[str, Any], str | None]:
        found = self._store.get(self.path)
        if found is None:
            return {**self._head, "steps": []}, None
        try:
            document: dict[str, Any] = json.loads(found.data)
        except ValueError:
            raise TerminalError(
                f"the evidence {self.uri} is damaged",
                hint="move the object away and run the step again",
                subject=self.path,
            ) from None
        return document, found.etag


def _object_name(rollout_id: str) -> str:
    safe = _UNSAFE.sub("-", rollout_id).strip("-.")
    return safe if safe == rollout_id else f"{safe}-{bytes_digest(rollout_id.encode())[:8]}"
