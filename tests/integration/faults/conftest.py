"""Every fault is tried on the way to a real S3 server and to a GCS server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.clouds import Cloud, cloud_behind_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.register_assert_rewrite("support.lives")


@pytest.fixture(params=["s3", "gcs"])
def cloud(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    """One cloud after the other."""
    with cloud_behind_gateway(request.param, request) as made:
        yield made
