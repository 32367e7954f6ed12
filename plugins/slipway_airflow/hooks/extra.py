"""A connection's extra field."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError

if TYPE_CHECKING:
    from airflow.sdk import Connection


def extra_of(connection: Connection) -> dict[str, Any]:
    """The extra field; its secrets are masked in logs from here on.

    Raises:
        TerminalError: It is no JSON object. Airflow itself would take it as empty.
    """
    if connection.extra:
        try:
            valid = isinstance(json.loads(connection.extra), dict)
        except ValueError:
            valid = False
        if not valid:
            raise TerminalError(
                f"the extra field of the connection {connection.conn_id} is no JSON object",
                hint='write it as {"field": "value", ...}',
                subject=connection.conn_id,
            )
    extra: dict[str, Any] = connection.extra_dejson
    return extra
