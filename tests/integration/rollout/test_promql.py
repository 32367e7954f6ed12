"""The queries against a real Prometheus that scrapes a server whose every number we choose."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from slipway.errors import TerminalError, TransientError
from slipway.local.processes import free_port
from slipway.local.prometheus import Prometheus
from slipway.rollout import promql
from slipway.rollout.checks import checks
from slipway.rollout.prometheus import PrometheusClient
from slipway.rollout.subject import Subject
from slipway.spec.health import HealthPolicy
from support.asking import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WINDOW = "600s"  # longer than the test: everything that grew, grew within it


class Counted:
    """A target of Prometheus that shows the lines in `lines`."""

    def __init__(self) -> None:
        self.lines: dict[str, float] = {}
        self.scrapes = 0
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                shown = "".join(f"{name} {value}\n" for name, value in target.lines.items())
                self.send_response(200)
                self.end_headers()
                self.wfile.write(shown.encode())
                target.scrapes += 1

            def log_message(self, *args: object) -> None:
                """Be quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def wait_scrapes(self, count: int) -> None:
        wanted, deadline = self.scrapes + count, time.monotonic() + 30
        while self.scrapes < wanted:
            assert time.monotonic() < deadline, "Prometheus does not scrape"
            time.sleep(0.02)

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def requests_line(status: str, model: str = "m") -> str:
    return f'{promql.REQUEST_COUNT}{{model_name="{model}",status="{status}"}}'


def bucket_line(bound: str) -> str:
    return f'{promql.REQUEST_LATENCY_BUCKET}{{model_name="m",API="Predict",le="{bound}"}}'


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Counted, PrometheusClient]]:
    counted = Counted()
    # There before Prometheus meets the target: none of the old belongs to the window.
    counted.lines[requests_line("OK", "old")] = 1_000_000
    counted.lines[requests_line("OK", "new_pod")] = 21
    folder = tmp_path_factory.mktemp("prometheus")
    address = f"127.0.0.1:{counted.port}"
    try:
        with (
            Prometheus(folder, targets=[address]) as prometheus,
            PrometheusClient(prometheus.url) as client,
        ):
            counted.wait_scrapes(2)
            yield counted, client
    finally:
        counted.stop()


def test_a_series_born_at_200_counts_200(target: tuple[Counted, PrometheusClient]) -> None:
    counted, client = target
    counted.lines[requests_line("OK")] = 200
    eventually(client, promql.requests("m", WINDOW), 200)
    assert client.query(f"sum(increase({requests_line('OK')}[{WINDOW}]))") in {0, None}
    counted.lines[requests_line("OK")] = 203
    eventually(client, promql.requests("m", WINDOW), 203)

    counted.lines[requests_line("INVALID_ARGUMENT")] = 203
    eventually(client, promql.error_ratio("m", WINDOW), 0.5)


def test_what_came_before_prometheus_does_not_count(
    target: tuple[Counted, PrometheusClient],
) -> None:
    counted, client = target
    eventually(client, promql.requests("old", WINDOW), 0)
    counted.lines[requests_line("OK", "old")] += 7
    eventually(client, promql.requests("old", WINDOW), 7)
    counted.lines[requests_line("INTERNAL", "old")] = 7
    eventually(client, promql.error_ratio("old", WINDOW), 0.5)


def test_all_that_a_new_pod_counted_before_prometheus_met_it_counts(
    target: tuple[Counted, PrometheusClient],
) -> None:
    counted, client = target
    eventually(client, promql.requests("new_pod", WINDOW, whole=True), 21)
    counted.lines[requests_line("OK", "new_pod")] += 22
    eventually(client, promql.requests("new_pod", WINDOW, whole=True), 43)


def test_a_restart_counts_from_zero(target: tuple[Counted, PrometheusClient]) -> None:
    counted, client = target
    line = requests_line("OK", "restarted")
    counted.lines[line] = 900
    eventually(client, promql.requests("restarted", WINDOW), 900)
    counted.lines[line] = 30
    eventually(client, promql.requests("restarted", WINDOW), 30)


def test_only_the_window_counts(target: tuple[Counted, PrometheusClient]) -> None:
    counted, client = target
    line = requests_line("OK", "windowed")
    counted.lines[line] = 500
    eventually(client, promql.requests("windowed", "3s"), 500)
    eventually(client, promql.requests("windowed", "3s"), 0)
    counted.lines[line] = 520
    eventually(client, promql.requests("windowed", "3s"), 20)


def test_a_window_without_a_sample_says_nothing(target: tuple[Counted, PrometheusClient]) -> None:
    counted, client = target
    counted.lines[requests_line("OK", "unseen")] = 400
    eventually(client, promql.requests("unseen", WINDOW), 400)
    # As a window that is shorter than the time between two scrapes.
    later = client.ask({"requests": promql.requests("unseen", "5s")}, at=time.time() + 60)
    assert later == {"requests": None}


def test_no_request_gives_no_ratio(target: tuple[Counted, PrometheusClient]) -> None:
    _, client = target
    eventually(client, promql.requests("old", "2s"), 0)
    ratio = client.query(promql.error_ratio("old", "2s"))
    assert ratio is not None
    assert ratio != ratio  # noqa: PLR0124  # NaN
    assert client.query(promql.error_ratio("never_seen", WINDOW)) is None
    assert client.query(promql.requests("never_seen", WINDOW)) is None


def test_latency_comes_in_milliseconds(target: tuple[Counted, PrometheusClient]) -> None:
    counted, client = target
    counted.lines |= {bucket_line("10000"): 90, bucket_line("20000"): 100, bucket_line("+Inf"): 100}
    eventually(client, promql.latency_ms("m", 95, WINDOW), 15.0)


def test_failed_loads_are_those_of_the_version(target: tuple[Counted, PrometheusClient]) -> None:
    counted, client = target
    assert client.query(promql.load_failures("never_seen", 3, WINDOW)) is None
    eventually(client, promql.load_failures("old", 3, WINDOW), 0)
    name = promql.LOAD_ATTEMPT_COUNT
    counted.lines[f'{name}{{model_path="/models/old/3",status="fail"}}'] = 2
    counted.lines[f'{name}{{model_path="/models/old/33",status="fail"}}'] = 5
    eventually(client, promql.load_failures("old", 3, WINDOW), 2)
    eventually(client, promql.load_failures("old", 33, WINDOW), 5)


def test_a_query_of_the_users_own(target: tuple[Counted, PrometheusClient]) -> None:
    _, client = target
    own = 'max_over_time(vector({version})[{window}:1s]) * count(up{job!="{model}"})'
    query = promql.filled_in(own, model="m", version="4", window="5s")
    assert client.query(query) == 4


def test_a_wrong_query_is_terminal(target: tuple[Counted, PrometheusClient]) -> None:
    _, client = target
    with pytest.raises(TerminalError, match="refuses the query") as caught:
        client.query("sum(((")
    assert caught.value.subject == "sum((("
    with pytest.raises(TerminalError, match="gives 2 numbers"):
        client.query('label_replace(vector(1), "a", "b", "", "") or vector(2)')


def labelled(version: int, status: str) -> str:
    return requests_line(status, "two").replace("}", f',slipway_dev_version="{version}"}}')


def test_each_version_is_counted_alone_and_compared_with_stable(
    tmp_path: Path,
) -> None:
    canary, stable = Counted(), Counted()
    for target, version in ((canary, 3), (stable, 2)):
        target.lines |= {labelled(version, "OK"): 0, labelled(version, "INTERNAL"): 0}
    addresses = [f"127.0.0.1:{each.port}" for each in (canary, stable)]
    policy = HealthPolicy.model_validate(
        {
            "window_seconds": 600,
            "checks": {"error_ratio": {"largest": 0.01, "largest_increase": 0.01}},
        }
    )
    subject = Subject(model="two", version=3, version_label="slipway_dev_version", stable_version=2)
    queries = {each.name: each.promql or "" for each in checks(policy, subject)}
    try:
        with (
            Prometheus(tmp_path, targets=addresses) as prometheus,
            PrometheusClient(prometheus.url) as client,
        ):
            canary.wait_scrapes(2)
            stable.wait_scrapes(2)
            canary.lines |= {labelled(3, "OK"): 90, labelled(3, "INTERNAL"): 10}
            stable.lines |= {labelled(2, "OK"): 980, labelled(2, "INTERNAL"): 20}
            eventually(client, queries["requests"], 100)
            eventually(client, queries["error_ratio"], 0.1)
            eventually(client, queries["error_ratio_increase"], 0.1 - 0.02)
            eventually(client, promql.requests("two", WINDOW), 1100)
    finally:
        canary.stop()
        stable.stop()


def test_a_dead_prometheus_is_transient() -> None:
    with (
        PrometheusClient(f"http://127.0.0.1:{free_port()}") as client,
        pytest.raises(TransientError, match="could not be asked"),
    ):
        client.query("1")
