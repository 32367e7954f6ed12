"""The follower's exposition."""

from __future__ import annotations

from slipway.serving.sync.metrics import Metrics


def test_every_sample_follows_its_type_and_kinds_of_failure_are_there_from_the_start():
    metrics = Metrics()
    metrics.fail("corrupt")
    metrics.add("downloaded_bytes_total", 12_345_678_901)
    metrics.set(versions=3)
    lines = metrics.exposition().splitlines()
    assert 'slipway_sync_failures_total{kind="corrupt"} 1' in lines
    assert 'slipway_sync_failures_total{kind="disk_full"} 0' in lines
    assert "slipway_sync_downloaded_bytes_total 12345678901" in lines
    assert "slipway_sync_versions 3" in lines
    typed = {line.split()[2] for line in lines if line.startswith("#")}
    sampled = {line.partition("{")[0].split()[0] for line in lines if not line.startswith("#")}
    assert typed == sampled
