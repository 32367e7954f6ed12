"""A bucket on a GCS protocol server that lets in only who has the right token."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from support.gateway import Gateway, gateway
from support.local_google import LocalGoogle, local_google

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slipway.local.gcs_server import GcsServer


@contextmanager
def guarded_gcs(server: GcsServer) -> Iterator[tuple[Gateway, LocalGoogle]]:
    """The guarded address, and who gives the tokens for it."""
    with gateway(server.endpoint_url) as front, local_google() as google:
        front.bearer = google.token
        yield front, google
