"""Pictures of Airflow's UI, by the system's Chromium."""

from __future__ import annotations

import subprocess
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE_SECONDS = 90


def picture(url: str, file: Path) -> None:
    """Show a page until it has settled, and keep what it looks like as a PNG.

    Raises:
        subprocess.CalledProcessError: Chromium ended with an error.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="slipway-ui-") as profile:
        subprocess.run(
            [
                "chromium",
                "--headless=new",
                "--no-sandbox",  # the pages are our own, and a container's root has no other way
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
                f"--user-data-dir={profile}",
                "--window-size=1440,900",
                "--virtual-time-budget=20000",
                f"--screenshot={file}",
                url,
            ],
            check=True,
            capture_output=True,
            timeout=_PATIENCE_SECONDS,
        )
