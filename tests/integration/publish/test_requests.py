"""What publishing and resolving cost on S3: requests as they pass by on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slipway.serving.channels import move_channel, read_channel
from slipway.serving.layout import resolve
from slipway.serving.publish import Published, publish
from slipway.storage import open_store
from support.gateway import Gateway, gateway
from support.models import write_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from slipway.local.s3_server import S3Server
    from slipway.storage import Store

FILES = 6
PART = 8 << 20


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[Gateway]:
    with gateway(s3_server.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def store(proxy: Gateway, s3_server: S3Server, s3_uri: str) -> Store:
    credentials = s3_server.credentials.model_copy(update={"endpoint_url": proxy.url})
    return open_store(s3_uri, credentials)


def put(store: Store, folder: Path, golden: bytes | None = None) -> Published:
    return publish(store, "digits", folder, variant="v", metrics={}, golden=golden)


def test_the_first_version_of_a_model_costs_its_files_and_six(
    store: Store, proxy: Gateway, tmp_path: Path
):
    published = put(store, write_model(tmp_path / "m", seed=1))
    assert len(proxy.seen) == FILES + 6
    assert published.requests == len(proxy.seen)


def test_each_further_version_costs_as_much_and_golden_requests_one(
    store: Store, proxy: Gateway, tmp_path: Path
):
    put(store, write_model(tmp_path / "m", seed=1))
    for seed, golden, more in ((2, None, 0), (3, b"{}", 1)):
        proxy.seen.clear()
        put(store, write_model(tmp_path / "m", seed=seed), golden)
        assert len(proxy.seen) == FILES + 6 + more


def test_a_large_file_costs_its_parts_and_two(store: Store, proxy: Gateway, tmp_path: Path):
    put(store, write_model(tmp_path / "m", seed=1, data_bytes=2 * PART + 1))
    assert len(proxy.seen) == (FILES - 1) + (3 + 2) + 6


def test_a_retry_of_a_killed_publisher_costs_no_more(store: Store, proxy: Gateway, tmp_path: Path):
    folder = write_model(tmp_path / "m", seed=1)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(store, "digits", folder, variant="v", metrics={}, progress=die)
    proxy.seen.clear()
    assert put(store, folder).version == 1
    assert len(proxy.seen) <= FILES + 6


def test_publishing_what_is_published_costs_three(store: Store, proxy: Gateway, tmp_path: Path):
    put(store, write_model(tmp_path / "m", seed=1))
    proxy.seen.clear()
    assert put(store, tmp_path / "m").already_published
    assert len(proxy.seen) == 3


def test_resolving_the_current_version_costs_one_however_many_there_are(
    store: Store, proxy: Gateway, tmp_path: Path
):
    published = [put(store, write_model(tmp_path / "m", seed=seed)) for seed in range(4)][2]
    move_channel(
        store, "digits", "stable", version=3, digest=published.digest, expected_generation=0
    )
    proxy.seen.clear()
    channel = read_channel(store, "digits", "stable")
    assert channel is not None
    assert (channel.version, channel.digest) == (3, published.digest)
    assert len(proxy.seen) == 1
    assert resolve(store, "digits", 3).digest == published.digest
    assert len(proxy.seen) == 2
