"""A real S3 server for tests, with signature checks on."""

from __future__ import annotations

import json
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from slipway.local.s3_server import S3Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slipway.storage import StoreCredentials

__all__ = ["S3Server", "S3ServerWithGuests", "seaweed"]


_ALL = ("Read", "Write", "List")


class S3ServerWithGuests(S3Server):
    """Knows keys that lack a right, beside those of its owner."""

    def without(self, right: str) -> StoreCredentials:
        """Keys with all rights of ("Read", "Write", "List") but this one."""
        return self.credentials.model_copy(
            update={
                "access_key_id": f"no-{right.lower()}",
                "secret_access_key": SecretStr(f"guest-{right.lower()}"),
            }
        )

    def _write_config(self) -> None:
        super()._write_config()
        file = self.folder / "s3.json"
        config = json.loads(file.read_text())
        config["identities"] += [
            {
                "name": f"no-{right.lower()}",
                "credentials": [
                    {"accessKey": f"no-{right.lower()}", "secretKey": f"guest-{right.lower()}"}
                ],
                "actions": [other for other in _ALL if other != right],
            }
            for right in _ALL
        ]
        file.write_text(json.dumps(config))


@contextmanager
def seaweed() -> Iterator[S3ServerWithGuests]:
    """Runs the server on free ports with keys of its own; takes it down with its data."""
    with tempfile.TemporaryDirectory(prefix="seaweed-") as folder:
        server = S3ServerWithGuests(Path(folder))
        with server:
            yield server
