"""A server that cannot be had is given up within the stated time, with one error that may pass."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from slipway.errors import TransientError
from slipway.local.processes import free_port
from slipway.serving.publish import publish
from slipway.storage.gcs_retries import BUDGET_SECONDS as GCS_SECONDS
from slipway.storage.s3_retries import BUDGET_SECONDS as S3_SECONDS
from support.clouds import CONNECTION, cloud_behind_gateway
from support.faults import ERRORS
from support.following import MODEL, following
from support.gateway import Silence, amazon_error, gateway, google_error
from support.models import write_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from slipway.storage import Store
    from support.clouds import Cloud

BUDGETS = {"s3": S3_SECONDS, "gcs": GCS_SECONDS}


def timed(action: Callable[[], object]) -> tuple[float, BaseException | None]:
    began = time.monotonic()
    try:
        action()
    except BaseException as error:  # noqa: BLE001 - whatever comes is what the test looks at
        return time.monotonic() - began, error
    return time.monotonic() - began, None


def test_a_server_that_is_dead_overloaded_or_silent_is_given_up_within_the_budget(
    tmp_path: Path, request: pytest.FixtureRequest
):
    """Publishing and following, on both clouds, all at once, because each takes its time."""
    folder = write_model(tmp_path / "m", seed=1)
    with ExitStack() as stack, ThreadPoolExecutor(12) as pool:
        running = {}
        for kind in BUDGETS:
            cloud = stack.enter_context(cloud_behind_gateway(kind, request))
            for trouble, url in troubles(cloud, stack).items():
                store = at(cloud, url)
                for action in (partial(put, store, folder), partial(poll, store, tmp_path)):
                    name = (kind, trouble, action.func.__name__)
                    running[name] = pool.submit(timed, action)
        ended = {name: future.result() for name, future in running.items()}
    for name, (seconds, error) in ended.items():
        print(*name, f"{seconds:.1f} s")  # noqa: T201 - see -s
        assert type(error) is TransientError, (name, error)
        assert seconds < BUDGETS[name[0]], name
        assert CONNECTION in error.message
        assert "Could not read" in error.message


def troubles(cloud: Cloud, stack: ExitStack) -> dict[str, str]:
    """Addresses behind which nobody answers as he should."""
    busy = stack.enter_context(gateway(cloud.front.url))
    busy.rule = lambda _method, _path: ERRORS[cloud.kind][0]
    silent = stack.enter_context(gateway(cloud.front.url))
    silent.rule = lambda _method, _path: Silence()
    nobody = f"http://127.0.0.1:{free_port()}"
    return {"dead": nobody, "overloaded": busy.url, "silent": silent.url}


def at(cloud: Cloud, url: str) -> Store:
    if cloud.kind == "s3":
        return cloud.behind(endpoint_url=url)
    return cloud.behind(google=cloud.login.google.model_copy(update={"endpoint_url": url}))


def put(store: Store, folder: Path) -> None:
    publish(store, MODEL, folder, variant="v", metrics={})


def poll(store: Store, tmp_path: Path) -> None:
    with following(store, tmp_path / uuid4().hex) as made:
        assert not made.poll()
        raise made.follower.failures[0]


def test_throttling_that_google_words_as_a_refusal_may_pass(request: pytest.FixtureRequest):
    with cloud_behind_gateway("gcs", request) as cloud:
        cloud.front.rule = lambda _method, _path: google_error(403, "rateLimitExceeded")
        with pytest.raises(TransientError, match="rateLimitExceeded"):
            cloud.behind().get("x")


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "RequestTimeout"), (403, "Throttling"), (409, "OperationAborted")],
)
def test_what_amazon_words_as_a_refusal_may_pass(
    request: pytest.FixtureRequest, status: int, code: str
):
    with cloud_behind_gateway("s3", request) as cloud:
        cloud.front.rule = lambda _method, _path: amazon_error(status, code)
        store = cloud.behind()
        for action in (partial(store.get, "x"), partial(store.put, "x", b"")):
            with pytest.raises(TransientError, match=code) as caught:
                action()
            assert type(caught.value) is TransientError
