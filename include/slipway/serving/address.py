"""The address of a published model: what an operator has who has no spec."""

from __future__ import annotations

from slipway.errors import TerminalError


def split_address(address: str) -> tuple[str, str]:
    """Splits ``s3://bucket/prefix/model`` into base URI and model.

    Raises:
        TerminalError: It names no model.
    """
    base, _, model = address.rstrip("/").rpartition("/")
    if not model or not (base.partition("://")[2] if "://" in address else base):
        raise TerminalError(
            f"{address} names no model.",
            hint="Write s3://bucket/prefix/model.",
            subject="address",
        )
    return base, model
