from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.local.processes import free_port
from slipway.rollout.endpoint import Endpoint
from slipway.rollout.traffic import quantile, send

if TYPE_CHECKING:
    from collections.abc import Iterator


class Handler(BaseHTTPRequestHandler):
    """Echoes; refuses "bad", answers "garbage" with no JSON, lets "wait" wait."""

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["say"]
        if said == "wait":
            time.sleep(1.0)
        self.send_response(400 if said == "bad" else 200)
        self.end_headers()
        with suppress(BrokenPipeError):  # the client has given up
            self.wfile.write(b"{" if said == "garbage" else json.dumps({"said": said}).encode())

    def log_message(self, *args: object) -> None:
        """Be quiet."""


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_bodies_take_turns_and_answers_keep_their_order(url: str) -> None:
    bodies = [{"say": "a"}, {"say": "bad"}, {"say": "garbage"}]
    replies = send(Endpoint(url), "", bodies, requests=7, rate_per_second=1000, timeout_seconds=5)
    assert [reply.index for reply in replies] == [0, 1, 2, 0, 1, 2, 0]
    assert [reply.answer for reply in replies[:3]] == [{"said": "a"}, None, None]
    assert replies[1].problem == 'HTTP 400: {"said": "bad"}'
    assert "no JSON" in replies[2].problem
    assert not any(reply.refused for reply in replies)


def test_the_rate_is_kept(url: str) -> None:
    started = time.monotonic()
    send(Endpoint(url), "", [{"say": "a"}], requests=11, rate_per_second=20, timeout_seconds=5)
    assert time.monotonic() - started >= 0.5


def test_a_request_that_takes_too_long_is_given_up(url: str) -> None:
    [reply] = send(
        Endpoint(url), "", [{"say": "wait"}], requests=1, rate_per_second=10, timeout_seconds=0.2
    )
    assert "ReadTimeout" in reply.problem
    assert not reply.refused


def test_where_nothing_listens_the_request_is_refused() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    [reply] = send(Endpoint(url), "", [{}], requests=1, rate_per_second=10, timeout_seconds=5)
    assert reply.refused


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.1, 99.9))
def test_a_quantile_is_not_exceeded_by_its_share(values: list[float], percentile: float) -> None:
    found = quantile(values, percentile)
    assert found in values
    below = sum(1 for value in values if value <= found)
    assert below >= percentile / 100 * len(values) - 1e-9
    smaller = [value for value in values if value < found]
    assert len(smaller) < percentile / 100 * len(values)
