"""``python -m slipway.serving.server --rest_api_port=8501 ...``."""

from __future__ import annotations

import sys

from slipway.serving.server.app import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
