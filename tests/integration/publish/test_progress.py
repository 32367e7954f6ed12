"""Whoever watches a long upload sees it move."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from slipway.serving.publish import publish
from slipway.steps import publish as step

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.storage import Store

LARGE = 40 << 20


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """One file that is most of the model, as weights are."""
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(bytes(LARGE))
    return folder


def test_a_single_large_file_is_seen_on_its_way(store: Store, model: Path):
    told: list[tuple[int, int]] = []
    publish(store, "m", model, variant="v", metrics={}, progress=lambda *at: told.append(at))
    sent = [at for at, _ in told]
    assert {total for _, total in told} == {LARGE + 5}
    assert sent[-1] == LARGE + 5
    assert sent == sorted(sent)
    if not store.uri.startswith("file"):
        assert len(sent) > 3


def test_the_log_says_bytes_and_rate_now_and_then(monkeypatch: pytest.MonkeyPatch):
    lines: list[str] = []
    clock = [100.0]
    monkeypatch.setattr(step.time, "monotonic", lambda: clock[0])
    show = step._progress(SimpleNamespace(say=lines.append))  # type: ignore[arg-type]
    for second in range(1, 9):
        clock[0] = 100.0 + second
        show(second * 10_000_000, 80_000_000)
    assert lines == [
        "sent 30.0 MB of 80.0 MB, 10.0 MB/s",
        "sent 60.0 MB of 80.0 MB, 10.0 MB/s",
        "sent 80.0 MB of 80.0 MB, 10.0 MB/s",
    ]
