"""Which versions a model server still uses, by its status page."""

from __future__ import annotations

from slipway.errors import TransientError
from slipway.serving.layout import parse_version

_SECONDS = 5.0
# TensorFlow Serving forgets nothing: a version that it has unloaded stays listed as END.
_UNUSED = "END"


def versions_in_use(status_url: str) -> frozenset[int]:
    """The versions that a server loads, serves or unloads now.

    Args:
        status_url: ``http://host:8501/v1/models/<model>``.

    Raises:
        TransientError: The server does not say; nothing may be deleted then.
    """
    import httpx

    try:
        answer = httpx.get(status_url, timeout=_SECONDS, trust_env=False)
        answer.raise_for_status()
        statuses = answer.json()["model_version_status"]
        found = {
            parse_version(str(status["version"]))
            for status in statuses
            if status["state"] != _UNUSED
        }
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise TransientError(
            f"{status_url} does not say which versions are in use: {error}.",
            hint="Check that the model server is up; until it answers nothing is deleted.",
            subject=status_url,
        ) from None
    return frozenset(version for version in found if version is not None)
