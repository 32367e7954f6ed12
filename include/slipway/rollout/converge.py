"""Bringing a running server to where the channels point, without a request lost on the way.

Deploy, promote and rollback move channels, and then all do the same: look at the channels, at the
config file and at the server, make the next safe change, and look again. Whoever is killed in the
middle leaves a state from which the next one goes on.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from slipway.errors import TerminalError, TransientError
from slipway.rollout.config_file import Serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from slipway.rollout.config_file import ConfigHolder
    from slipway.rollout.server import Seen, Servable

_POLL_SECONDS = 0.2


def next_serving(current: Serving, wanted: Serving, seen: Seen) -> Serving:
    """The next safe entry on the way to the wanted one.

    A label moves only to a version that is AVAILABLE; until then it stays where it is. A version
    is left out only when no wanted label points or still answers with it.

    Args:
        current: What the config file says.
        wanted: Where the channels point.
        seen: What the server serves, with the wanted labels asked for.
    """
    labels: dict[str, int] = {}
    for label, version in wanted.labels.items():
        if version in seen.available:
            labels[label] = version
        elif label in current.labels:
            labels[label] = current.labels[label]
    answering = {seen.labels[label] for label in wanted.labels if label in seen.labels}
    return Serving(wanted.versions | set(labels.values()) | answering, labels)


def is_reached(current: Serving, wanted: Serving, seen: Seen) -> bool:
    """Whether file and server both are as wanted, and nothing else is served any more."""
    return current == wanted == Serving(seen.available, seen.labels)


def converge(
    model: str,
    base_path: str,
    wanted: Callable[[], Serving],
    *,
    file: ConfigHolder,
    server: Servable,
    within_seconds: float,
    say: Callable[[str], None] = lambda _line: None,
) -> Serving:
    """Change the config file step by step until the server serves what is wanted.

    Args:
        model: The model's name.
        base_path: Under which the server finds the model.
        wanted: Reads the channels; asked again for every step, as they may move meanwhile.
        file: What the server polls.
        server: What is looked at.
        within_seconds: Time limit.
        say: Told of every change.

    Returns:
        What is served in the end.

    Raises:
        TerminalError: The server could not load a wanted version, with its own message, or is
            still loading it when time is up.
        TransientError: The server is not there, or did not follow in time.
    """
    deadline = time.monotonic() + within_seconds
    old_failures: frozenset[int] | None = None
    while True:
        goal = wanted()
        seen = _look(server, model, goal, deadline)
        with file.locked():
            current = file.read(model)
            following = next_serving(current, goal, seen)
            # Whoever moved a channel meanwhile must not be overwritten with what was true before.
            still = wanted() == goal
            if still and following != current:
                file.write(model, base_path, following)
                say(f"{model}: {_described(following)}")
        # A version that failed before it was asked for anew is still shown as failed at first.
        if old_failures is None:
            old_failures = frozenset(seen.failures) - current.versions
        old_failures &= frozenset(seen.failures)
        _raise_failure(model, goal, seen, ignored=old_failures)
        if still and is_reached(following, goal, seen):
            return goal
        if time.monotonic() > deadline:
            raise _too_late(model, goal, seen, server.url, within_seconds)
        time.sleep(_POLL_SECONDS)


def _look(server: Servable, model: str, goal: Serving, deadline: float) -> Seen:
    """See what is served; a server that is busy loading may answer later."""
    while True:
        try:
            return server.look(model, goal.labels)
        except TransientError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_POLL_SECONDS)


def _raise_failure(model: str, goal: Serving, seen: Seen, *, ignored: frozenset[int]) -> None:
    for version in sorted(goal.versions - ignored):
        if version in seen.failures:
            raise TerminalError(
                f"the model server could not load version {version} of {model}: "
                f"{seen.failures[version]}",
                hint="the server tries again only after the version was withdrawn: roll back, "
                "then publish a version that it can load",
                subject=f"{model}/{version}",
            )


def _too_late(
    model: str, goal: Serving, seen: Seen, url: str, seconds: float
) -> TerminalError | TransientError:
    if not seen.up:
        return TransientError(
            f"no model server listens at {url}",
            hint="start it; the config file already says what it is to serve",
            subject=url,
        )
    missing = sorted(goal.versions - seen.available)
    if missing:
        version = missing[0]
        state = seen.states.get(version)
        last = seen.failures.get(version) or f"its state is {state or 'unknown to the server'}"
        message = f"version {version} of {model} is not AVAILABLE after {seconds:g} s: {last}"
        if state is not None:
            return TerminalError(
                message,
                hint="read the model server's log, or raise serve.available_within_seconds",
                subject=f"{model}/{version}",
            )
    else:
        message = (
            f"the model server at {url} did not follow its config file within {seconds:g} s: "
            f"{_described(Serving(seen.available, seen.labels))}"
        )
    return TransientError(
        message,
        hint="check that the server was started with --model_config_file and "
        "--model_config_file_poll_wait_seconds",
        subject=model,
    )


def _described(serving: Serving) -> str:
    names = {version: label for label, version in sorted(serving.labels.items())}
    shown = ", ".join(
        f"{version} ({names[version]})" if version in names else str(version)
        for version in sorted(serving.versions)
    )
    return f"serving {shown or 'nothing'}"
