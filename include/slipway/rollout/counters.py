"""How many requests a model server has counted, read from the server itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx

from slipway.rollout import promql, promql_triton

if TYPE_CHECKING:
    from slipway.rollout.endpoint import Endpoint

_TIMEOUT_SECONDS = 5.0
_COUNTERS = (promql.REQUEST_COUNT, promql_triton.SUCCESS, promql_triton.FAILURE)
_SAMPLE = re.compile(
    rf"^(?:{'|'.join(map(re.escape, _COUNTERS))})\{{(?P<labels>[^}}]*)\}} +(?P<value>[0-9.eE+]+)",
    re.MULTILINE,
)


def counted_requests(endpoint: Endpoint, path: str, model: str) -> float | None:
    """Requests to a model since its server started, however they ended.

    Args:
        endpoint: Of the server's metrics.
        path: Of the metrics.
        model: The model's name.

    Returns:
        How many; None if the server does not show its metrics now.
    """
    try:
        with endpoint.client(_TIMEOUT_SECONDS) as client:
            reply = client.get(f"{endpoint.url}{path}")
    except httpx.HTTPError:
        return None
    if not reply.is_success:
        return None
    own = re.compile(rf'(?:^|,) *model(?:_name)?="{re.escape(model)}"')
    found = _SAMPLE.finditer(reply.text)
    return sum(float(each["value"]) for each in found if own.search(each["labels"]))
