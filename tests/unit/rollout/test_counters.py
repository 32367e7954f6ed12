from __future__ import annotations

import pytest

from slipway.rollout.counters import counted_requests
from slipway.rollout.endpoint import Endpoint
from support.http import answering

_TENSORFLOW_SERVING = """\
# TYPE :tensorflow:serving:request_count counter
:tensorflow:serving:request_count{model_name="digits",status="OK"} 40
:tensorflow:serving:request_count{model_name="digits",status="INVALID_ARGUMENT"} 2
:tensorflow:serving:request_count{model_name="digits_two",status="OK"} 1000
:tensorflow:serving:request_latency_count{model_name="digits",API="predict"} 42
"""
_TRITON = """\
nv_inference_request_success{model="digits",version="3"} 1.2e+01
nv_inference_request_failure{model="digits",reason="OTHER",version="3"} 1
nv_inference_count{model="digits",version="3"} 99
"""


@pytest.mark.parametrize(("page", "counted"), [(_TENSORFLOW_SERVING, 42), (_TRITON, 13), ("", 0)])
def test_requests_are_counted_however_they_ended(page: str, counted: int) -> None:
    with answering({"/metrics": (200, page.encode())}) as server:
        assert counted_requests(Endpoint(server.url), "/metrics", "digits") == counted


def test_a_server_without_metrics_says_nothing() -> None:
    with answering({}) as server:
        assert counted_requests(Endpoint(server.url), "/metrics", "digits") is None
    assert counted_requests(Endpoint("http://127.0.0.1:9"), "/metrics", "digits") is None
