"""`python -m slipway.cli`."""

from __future__ import annotations

from slipway.cli.main import app

if __name__ == "__main__":
    app()
