"""Addresses in the clouds' own consoles."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

# Where any of these names something else, the cloud's own console does not show the bucket.
_S3_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_GCS_ENDPOINTS = ("STORAGE_EMULATOR_HOST",)


def console_address(uri: str, environ: Mapping[str, str], template: str = "") -> str:
    """The page of a folder of a bucket in its cloud's console.

    Args:
        uri: ``s3://bucket/folder`` or ``gs://bucket/folder``.
        environ: The environment of whoever reads the bucket.
        template: Of another server's console, such as
            ``https://minio.example:9001/browser/{bucket}/{prefix}``; it wins.

    Returns:
        The address; empty for other schemes, and without a template for a server that is not the
        cloud's own.
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, prefix = rest.strip("/").partition("/")
    if not bucket or scheme not in {"s3", "gs"}:
        return ""
    if template:
        filled = template.replace("{bucket}", quote(bucket))
        return filled.replace("{prefix}", quote(f"{prefix}/" if prefix else ""))
    if scheme == "s3" and _is_own(environ, _S3_ENDPOINTS, "amazonaws.com"):
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
        where = f"region={quote(region)}&" if region else ""
        folder = quote(f"{prefix}/", safe="") if prefix else ""
        return f"https://console.aws.amazon.com/s3/buckets/{quote(bucket)}?{where}prefix={folder}"
    if scheme == "gs" and _is_own(environ, _GCS_ENDPOINTS, "googleapis.com"):
        return f"https://console.cloud.google.com/storage/browser/{quote(bucket)}/{quote(prefix)}"
    return ""


def _is_own(environ: Mapping[str, str], names: tuple[str, ...], domain: str) -> bool:
    endpoint = next((environ[name] for name in names if environ.get(name)), "")
    host = urlsplit(endpoint).hostname or ""
    return not endpoint or host == domain or host.endswith(f".{domain}")
