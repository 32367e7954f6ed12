"""Sixteen publishers of eight contents at once: issue 3, done when 3."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from slipway.serving.publish import Published, publish
from slipway.serving.upkeep.fsck import check
from support.hand_made import MODEL
from support.models import write_model

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.storage import Store

PUBLISHERS = 16
CONTENTS = 8


def test_as_many_versions_as_contents(store: Store, tmp_path: Path):
    folders = [write_model(tmp_path / f"m{n}", seed=n % CONTENTS) for n in range(PUBLISHERS)]
    gate = threading.Barrier(PUBLISHERS)

    def enter(folder: Path) -> Published:
        gate.wait(30)
        return publish(store, MODEL, folder, variant="v", metrics={}, golden=b"{}")

    with ThreadPoolExecutor(PUBLISHERS) as pool:
        published = list(pool.map(enter, folders))
    assert {one.version for one in published} == set(range(1, CONTENTS + 1))
    assert len({(one.version, one.digest) for one in published}) == CONTENTS
    assert sum(not one.already_published for one in published) == CONTENTS
    report = check(store, MODEL, deep=True)
    assert (report.versions, report.findings) == (CONTENTS, ())
