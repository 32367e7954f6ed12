"""Golden requests asked of a runtime, for what no model server on this machine serves."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from slipway.evaluation.facts import ServerFacts
from slipway.evaluation.golden import largest_difference
from slipway.modelling.onnx_graph import MODEL_FILE

if TYPE_CHECKING:
    from collections.abc import Callable

    from slipway.contracts import ArtifactRef
    from slipway.evaluation.golden import Golden
    from slipway.modelling.onnx_session import OnnxSession
    from slipway.modelling.tensorrt_session import TensorRTSession
    from slipway.serving.server.signatures import TensorSpec

ONNXRUNTIME = "onnxruntime"
TENSORRT = "TensorRT"


class UnansweredError(Exception):
    """A golden request that got no answer; the message says why."""


def compared(golden: Golden, ask: Callable[[dict[str, Any]], object]) -> ServerFacts:
    """Ask the golden requests, and compare each answer with the one that is known.

    Args:
        golden: The requests.
        ask: Answers the body of one; UnansweredError where there is no answer.
    """
    problems: list[str] = []
    largest = 0.0
    for index, request in enumerate(golden.requests):
        try:
            got = ask(request.body)
        except UnansweredError as error:
            problems.append(f"golden request {index}: {error}")
            largest = math.inf
            continue
        largest = max(largest, largest_difference(request.expected, got))
        found = golden.differences(index, got)
        problems.extend(f"golden request {index}: {line}" for line in found)
    return ServerFacts(
        requests=len(golden.requests),
        largest_difference=largest if math.isfinite(largest) else None,
        problems=tuple(problems),
    )


def replay(artifact: ArtifactRef, golden: Golden) -> ServerFacts:
    """Load an ONNX model or an engine anew and ask it the golden requests.

    It is given what their JSON holds, so that rounding and the JSON itself are proven too. Never
    raises for what the variant does wrong: that is in `problems`.
    """
    runtime = TENSORRT if artifact.kind == "tensorrt" else ONNXRUNTIME
    try:
        session = _open(artifact)
    except Exception as error:  # noqa: BLE001  # whatever the runtime says of the file is the answer
        return ServerFacts(
            requests=0,
            largest_difference=None,
            problems=(f"{runtime} did not load it: {error}",),
            answered_by=runtime,
        )

    def ask(body: dict[str, Any]) -> object:
        try:
            return _answer(session, body)
        except Exception as error:
            raise UnansweredError(str(error)) from error

    return compared(golden, ask).model_copy(update={"answered_by": runtime})


def _open(artifact: ArtifactRef) -> OnnxSession | TensorRTSession:
    if artifact.kind == "tensorrt":
        from slipway.modelling.tensorrt_session import PLAN_FILE, TensorRTSession

        return TensorRTSession(artifact.servable / PLAN_FILE)
    from slipway.modelling.onnx_session import OnnxSession

    return OnnxSession(artifact.servable / MODEL_FILE)


def _answer(session: OnnxSession | TensorRTSession, body: dict[str, Any]) -> object:
    from slipway.serving.server.decoding import parse_predict
    from slipway.serving.server.encoding import predict_answer

    asked = parse_predict(json.dumps(body).encode()).arrays(_specs(session))
    answer: object = json.loads(predict_answer(session.run(asked), row=True))
    return answer


def _specs(session: OnnxSession | TensorRTSession) -> dict[str, TensorSpec]:
    from slipway.serving.server.signatures import TensorSpec

    return {name: TensorSpec(dtype, shape) for name, (dtype, shape) in session.inputs.items()}
