# ruff: noqa: INP001  # a script of the image, not a package
"""Exit status 0 if a component of Airflow is healthy, as the API server knows it."""

from __future__ import annotations

import json
import sys
from urllib.request import urlopen

URL = "http://api-server:8080/api/v2/monitor/health"


def main(component: str, url: str = URL) -> int:
    """Say how a component is.

    Args:
        component: metadatabase, scheduler, dag_processor or triggerer.
        url: Health page of the API server.

    Returns:
        0 if its last heartbeat is recent, 1 if it is not or there never was one.
    """
    with urlopen(url, timeout=8) as answer:  # noqa: S310  # a fixed http address
        state = json.load(answer)[component]["status"]
    sys.stdout.write(f"{component}: {state}\n")
    return 0 if state == "healthy" else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
