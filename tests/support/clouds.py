"""A place in a bucket, and two ways to it: past a gateway, and through it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.storage import Store, StoreCredentials, open_store
from support.gateway import Gateway, gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

CONNECTION = "models_bucket"


@dataclass(frozen=True)
class Cloud:
    """An empty place in a bucket, and two ways to it.

    Attributes:
        kind: "s3" or "gcs".
        uri: The place.
        direct: Past the gateway.
        front: The gateway.
        login: Who asks at the gateway, by a connection.
    """

    kind: str
    uri: str
    direct: Store
    front: Gateway
    login: StoreCredentials

    def behind(self, uri: str = "", **other: Any) -> Store:
        """The place as it is seen through the gateway."""
        return open_store(uri or self.uri, self.login.model_copy(update=other))

    @property
    def base(self) -> str:
        """What all paths in the place begin with."""
        return self.uri.rpartition("/")[2]


@contextmanager
def cloud_behind_gateway(kind: str, request: pytest.FixtureRequest) -> Iterator[Cloud]:
    """An empty place on a local server of a kind, "s3" or "gcs"."""
    server = request.getfixturevalue(f"{kind}_server")
    uri = request.getfixturevalue(f"{kind}_uri")
    keys: StoreCredentials = server.credentials
    with gateway(server.endpoint_url) as front:
        if kind == "s3":
            login = keys.model_copy(update={"endpoint_url": front.url, "connection": CONNECTION})
        else:
            google = keys.google.model_copy(update={"endpoint_url": front.url})
            login = keys.model_copy(update={"google": google, "connection": CONNECTION})
        yield Cloud(kind, uri, open_store(uri, keys), front, login)
