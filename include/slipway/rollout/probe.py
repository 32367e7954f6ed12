"""Probe: the canary is asked golden requests, then as many more as the spec wants."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError, TransientError
from slipway.evaluation.golden import largest_difference
from slipway.rollout.checks import PROBE_REQUESTS, PROBE_STARTED_AT, latency_name
from slipway.rollout.kserve import interface_of
from slipway.rollout.preflight import read_golden
from slipway.rollout.tflite_file import has_tflite, runs_tflite
from slipway.rollout.traffic import quantile, send
from slipway.serving.layout import resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.evaluation.golden import Golden
    from slipway.rollout.kserve import Interface
    from slipway.rollout.session import Rollout
    from slipway.rollout.traffic import Reply
    from slipway.serving.layout import Manifest

_MOST_SHOWN = 20
_SHOWN_QUANTILES = (50.0, 90.0, 99.0)


def probe(rollout: Rollout) -> tuple[dict[str, float], dict[str, Any]]:
    """Ask the canary, compare every answer with the golden one, and count.

    Failed and slow requests are counted for the health gate and raise nothing. A version that is
    stable already is asked under that label.

    Returns:
        The figures that `slipway.health.Judge` takes, and details.

    Raises:
        TerminalError: An answer differs, a golden request was never answered, there are no golden
            requests, the version is not the canary any more, or the server runs the SavedModel
            where a TFLite file was validated.
        TransientError: No server listens.
    """
    label = rollout.label()
    manifest = resolve(rollout.store, rollout.model, rollout.version)
    golden = _golden(rollout, manifest)
    settings = rollout.config.rollout.probe
    endpoint, path = rollout.servers.canary_endpoint(), rollout.servers.predict_path(label)
    interface = interface_of(rollout)
    tflite = has_tflite(manifest)
    runs = runs_tflite(endpoint, rollout.model, rollout.version) if tflite else None
    rollout.say(f"{len(golden.requests)} golden and {settings.requests} probe requests to {label}")
    started_at = time.time()
    bodies = [request.body for request in golden.requests]
    replies = send(
        endpoint,
        path,
        bodies if interface is None else [interface.request(body) for body in bodies],
        requests=len(golden.requests) + settings.requests,
        rate_per_second=settings.rate_per_second,
        timeout_seconds=settings.timeout_seconds,
    )
    if interface is not None:
        sizes = [len(body["instances"]) for body in bodies]
        replies = [_understood(interface, reply, sizes[reply.index]) for reply in replies]
    figures = {PROBE_STARTED_AT: started_at, **_figures(rollout, golden, replies)}
    details = {
        "label": label,
        "url": f"{endpoint.url}{path}",
        "tolerance": max(settings.tolerance, golden.tolerance),
        "differences": _differences(golden, replies, settings.tolerance),
        "unanswered": _unanswered(golden, replies),
        "problems": _problems(replies),
        "runs_tflite": runs,
    }
    rollout.evidence.add("probe", metrics=figures, **details)
    _judge(rollout, replies, details, endpoint.url)
    return figures, details


def _golden(rollout: Rollout, manifest: Manifest) -> Golden:
    golden = read_golden(rollout, manifest)
    if golden is None:
        raise TerminalError(
            f"{rollout.name} was published without golden requests, so nothing can be asked",
            hint="publish it with the golden requests of its validation",
            subject=f"{rollout.model}/{rollout.version}",
        )
    return golden


def _understood(interface: Interface, reply: Reply, count: int) -> Reply:
    """A reply of another protocol as TensorFlow Serving would give it."""
    if reply.answer is None:
        return reply
    try:
        return replace(reply, answer=interface.reply(reply.answer, count))
    except ValueError as error:
        return replace(reply, answer=None, problem=str(error))


def _figures(rollout: Rollout, golden: Golden, replies: Sequence[Reply]) -> dict[str, float]:
    """Counts over all requests; latencies of the answers that follow the first, golden, round."""
    failed = sum(1 for reply in replies if reply.answer is None)
    figures: dict[str, float] = {
        PROBE_REQUESTS: len(replies),
        "probe_failed_requests": failed,
        "probe_error_ratio": failed / len(replies),
    }
    warm = [reply for reply in replies[len(golden.requests) :] if reply.answer is not None]
    judged = {check.percentile for check in rollout.config.rollout.health.checks.latency}
    if warm:
        times = [1000 * reply.seconds for reply in warm]
        for percentile in sorted(judged.union(_SHOWN_QUANTILES)):
            name = f"probe_{latency_name(percentile)}"
            figures[name] = round(quantile(times, percentile), 3)
    answered = [reply for reply in replies if reply.answer is not None]
    distances = [
        largest_difference(golden.requests[reply.index].expected, reply.answer)
        for reply in answered
    ]
    figures["probe_differing_answers"] = sum(
        1 for reply in answered if _lines(golden, reply, rollout.config.rollout.probe.tolerance)
    )
    finite = [distance for distance in distances if distance != float("inf")]
    if finite:
        figures["probe_largest_difference"] = max(finite)
    return figures


def _lines(golden: Golden, reply: Reply, tolerance: float) -> list[str]:
    return golden.differences(reply.index, reply.answer, tolerance)


def _differences(golden: Golden, replies: Sequence[Reply], tolerance: float) -> list[str]:
    """Each different line once, with how often it came."""
    found = Counter(
        f"golden request {reply.index}: {line}"
        for reply in replies
        if reply.answer is not None
        for line in _lines(golden, reply, tolerance)
    )
    return [f"{line} ({count} times)" for line, count in found.most_common(_MOST_SHOWN)]


def _unanswered(golden: Golden, replies: Sequence[Reply]) -> list[int]:
    answered = {reply.index for reply in replies if reply.answer is not None}
    return [index for index in range(len(golden.requests)) if index not in answered]


def _problems(replies: Sequence[Reply]) -> dict[str, int]:
    """How often each problem came."""
    found = Counter(reply.problem for reply in replies if reply.problem)
    return dict(found.most_common(_MOST_SHOWN))


def _judge(
    rollout: Rollout, replies: Sequence[Reply], details: dict[str, Any], server: str
) -> None:
    if all(reply.refused for reply in replies):
        raise TransientError(
            f"no model server listens at {server}",
            hint="start the model server",
            subject=server,
        )
    subject = f"{rollout.model}/{rollout.version}"
    shown = {"evidence": rollout.evidence.uri, "differences": details["differences"]}
    if details["differences"]:
        raise TerminalError(
            f"{rollout.name} does not answer as it did when it was validated: "
            f"{details['differences'][0]}",
            hint=f"roll back; what was served is not what was validated: {rollout.evidence.uri}",
            subject=subject,
            details=shown,
        )
    if details["unanswered"]:
        first = next(iter(details["problems"]), "")
        raise TerminalError(
            f"{rollout.name} never answered {len(details['unanswered'])} of the golden requests: "
            f"{first}",
            hint=f"roll back; every request is in {rollout.evidence.uri}",
            subject=subject,
            details=shown,
        )
