"""Where an HTTP API is reached: its address and what a client must bring along."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping


@dataclass(frozen=True)
class Endpoint:
    """An HTTP API.

    Attributes:
        url: Base address, without a trailing slash.
        headers: Sent with every request; may hold a token, so they are never shown.
        tls: Trust and client certificate; None: as httpx does by default.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    def client(self, timeout_seconds: float) -> httpx.Client:
        """A client that blocks; the caller closes it."""
        return httpx.Client(
            timeout=timeout_seconds,
            headers=self.headers,
            verify=True if self.tls is None else self.tls,
            trust_env=False,
        )

    def async_client(self, timeout_seconds: float) -> httpx.AsyncClient:
        """A client for an event loop; the caller closes it."""
        return httpx.AsyncClient(
            timeout=timeout_seconds,
            headers=self.headers,
            verify=True if self.tls is None else self.tls,
            trust_env=False,
        )
