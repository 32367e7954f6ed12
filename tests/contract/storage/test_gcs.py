from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contract.storage.suite import StoreContract
from slipway.storage import Store, open_store

if TYPE_CHECKING:
    from support.fake_gcs import GcsServer


class TestGcsStore(StoreContract):
    @pytest.fixture
    def store(self, gcs_server: GcsServer, gcs_uri: str) -> Store:
        return open_store(gcs_uri, gcs_server.credentials)
