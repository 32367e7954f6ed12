"""Logs of containers: their last lines, or each line as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.kubernetes.errors import api_error
from slipway.kubernetes.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NO_LOG = {400, 404}  # not yet, or no more


def last_lines(
    send: Callable[..., Any],
    namespace: str,
    pod: str,
    container: str,
    lines: int,
    *,
    previous: bool,
) -> str:
    """The last lines of a container's log; empty if there is none yet."""
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    path = KINDS["Pod"].path(namespace, pod, "log")
    query = [("container", container), ("tailLines", str(lines))]
    if previous:
        query.append(("previous", "true"))
    try:
        reply = send("GET", path, query=query)
    except (ApiException, HTTPError):
        return ""
    return str(reply.data.decode("utf-8", "replace")).strip()


def follow(
    send: Callable[..., Any],
    namespace: str,
    pod: str,
    container: str,
    since: str,
    quiet_seconds: float,
) -> Iterator[str]:
    """Each line of a container's log as it comes; see `Cluster.follow_log`."""
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    path = KINDS["Pod"].path(namespace, pod, "log")
    query = [("container", container), ("follow", "true"), ("timestamps", "true")]
    if since:
        query.append(("sinceTime", since))
    try:
        reply = send("GET", path, query=query, seconds=quiet_seconds)
    except ApiException as error:
        if error.status in _NO_LOG:
            return
        raise api_error(
            error, verb="get", resource=f"pods/{pod}/log", namespace=namespace
        ) from None
    except HTTPError:
        return
    try:
        yield from _lines(reply)
    except HTTPError:
        return
    finally:
        reply.close()


def _lines(reply: Any) -> Iterator[str]:
    """What has come of the last line when the stream breaks is dropped: it comes again whole."""
    rest = b""
    for block in reply.stream(amt=None, decode_content=False):
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace")
    if rest:
        yield rest.decode("utf-8", "replace")
