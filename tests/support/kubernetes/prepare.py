"""What a cluster of its own is made of, compiled ahead of the tests: `make test-kubernetes`.

Within a test it would be ended by the limit on a test's time, which a cold cache needs twice.
"""

from __future__ import annotations

import os
import sys

from slipway.errors import SlipwayError
from support.kubernetes import containerd
from support.kubernetes.binaries import binaries
from support.kubernetes.existing import KUBECONFIG


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - minutes go by here


def main() -> None:
    """Fills the cache, or ends with one line that says what is missing."""
    if os.environ.get(KUBECONFIG):
        return
    try:
        programs = binaries(_say)
        containerd.cached_root(programs / "pause", _say)
    except SlipwayError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
