"""The process that measures: python -m slipway.evaluation.bench_worker FOLDER.

It imports the runtimes once, starts none, and forks a child for every measurement. So each
variant's memory is measured in a process of its own, and each number of threads is set before
TensorFlow's pools exist. A child that dies costs its measurement only.

FOLDER holds jobs.json and <variant>.npz; results.json is written there.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import random
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.contracts import Contract
from slipway.evaluation.memory import own_bytes
from slipway.evaluation.timing import Budget, take_turns, throughput_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from slipway.evaluation.facts import TensorFacts
    from slipway.evaluation.runner import Runner
    from slipway.evaluation.signatures import Arrays
    from slipway.serving.server.signatures import Servable

_PR_SET_PDEATHSIG = 1
_WARM_CALLS = 20


class Job(Contract):
    """One variant to measure.

    Attributes:
        variant: Its name; its inputs are in <variant>.npz, encoded, `batch` examples.
        servable: The folder that a server loads.
        kind: Kind of the artifact, as `ArtifactRef` has it.
        signature: The signature to run.
        batch: Examples of a batch for the throughput.
    """

    variant: str
    servable: str
    kind: str
    signature: str
    batch: int


class Jobs(Contract):
    """Everything to measure, and for how long.

    Attributes:
        jobs: The variants.
        seed: Of the order in which they take turns.
        cores: Threads of the measurement with all threads.
        budget: How long to time single calls, for each number of threads.
        throughput_seconds: Time for all variants' throughput together, for each number of threads.
    """

    jobs: tuple[Job, ...]
    seed: int
    cores: int
    budget: Budget = Budget()
    throughput_seconds: float = 3.0


class Results(Contract):
    """What was measured, by variant.

    Attributes:
        single_thread: Nanoseconds of each call, batch of one, with one thread.
        all_threads: The same with a thread a core.
        single_thread_throughput: Examples a second with one thread.
        all_threads_throughput: The same with a thread a core.
        memory: Peak rise in bytes, as `peak_memory` defines it.
        failures: Why a variant could not be measured.
    """

    single_thread: dict[str, list[int]]
    all_threads: dict[str, list[int]]
    single_thread_throughput: dict[str, float]
    all_threads_throughput: dict[str, float]
    memory: dict[str, int | None]
    failures: dict[str, str]


def measure(folder: Path) -> Results:
    """Measure every job of the folder; see the module."""
    jobs = Jobs.model_validate_json((folder / "jobs.json").read_text("utf-8"))
    memory: dict[str, int | None] = {}
    failures: dict[str, str] = {}
    usable = []
    for job in jobs.jobs:
        value, problem = in_child(partial(peak_memory, folder, job))
        if problem:
            failures[job.variant] = problem
            continue
        memory[job.variant] = value
        usable.append(job)
    asked = jobs.model_copy(update={"jobs": tuple(usable)})
    single = _timed(in_child(partial(time_variants, folder, asked, 1)))
    every = _timed(in_child(partial(time_variants, folder, asked, jobs.cores)))
    return Results(
        single_thread=single["samples"],
        all_threads=every["samples"],
        single_thread_throughput=single["throughput"],
        all_threads_throughput=every["throughput"],
        memory=memory,
        failures=failures,
    )


def in_child(work: Callable[[], Any]) -> tuple[Any, str]:
    """Do work in a fork of this process.

    Returns:
        What it gave, and why it gave nothing; the latter is "" if all went well.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _answer_and_end(work, reading, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        return None, f"its process was ended by {signal.Signals(-status).name}"
    if not text:
        return None, f"its process ended with status {status}"
    answer = json.loads(text)
    return answer.get("value"), answer.get("problem", "")


def peak_memory(folder: Path, job: Job) -> int | None:
    """Bytes by which a process grows while it loads a variant and answers.

    What counts is memory of its own and the pages of the model's files, not the code of the
    libraries, which any first model would bring in. It is looked at after loading and after every
    call, and the largest rise counts. None where the kernel does not tell.
    """
    _import_backends()
    if job.kind not in {"tflite", "onnx", "tensorrt"}:
        _start_tensorflow()
    before = own_bytes(job.servable)
    runner = open_served(job, threads=1)
    seen = [own_bytes(job.servable)]
    one, many = _inputs(folder, job, runner)
    for inputs in (*[one] * _WARM_CALLS, many):
        runner.signature.call(inputs)
        seen.append(own_bytes(job.servable))
    rises = [now - before for now in seen if now is not None and before is not None]
    return max(0, *rises) if rises else None


def time_variants(folder: Path, jobs: Jobs, threads: int) -> dict[str, Any]:
    """Time every variant in turns, so that whatever slows the machine slows all of them.

    Returns:
        "samples": nanoseconds by variant; "throughput": examples a second.
    """
    order = random.Random(jobs.seed)  # noqa: S311  # the order of turns, nothing secret
    single: dict[str, Callable[[], Any]] = {}
    batched: dict[str, Callable[[], Any]] = {}
    for job in jobs.jobs:
        runner = open_served(job, threads)
        one, many = _inputs(folder, job, runner)
        single[job.variant] = partial(runner.signature.call, one)
        batched[job.variant] = partial(runner.signature.call, many)
    for call in (*single.values(), *batched.values()):
        for _ in range(_WARM_CALLS):
            call()
    gc.disable()
    samples = take_turns(single, jobs.budget, order)
    sizes = {job.variant: job.batch for job in jobs.jobs}
    throughput = throughput_of(batched, sizes, jobs.throughput_seconds, order)
    return {"samples": samples, "throughput": throughput}


class _Served:
    """A signature of a servable; inputs come encoded, so scales do not matter here."""

    def __init__(self, servable: Servable, signature: str) -> None:
        from slipway.evaluation.facts import TensorFacts
        from slipway.serving.server.signatures import find_signature

        found = find_signature(servable, signature)
        self._run = partial(servable.run, signature)
        self.inputs = {
            name: TensorFacts(dtype=spec.dtype, shape=spec.shape or ())
            for name, spec in found.inputs.items()
        }
        self.outputs: dict[str, TensorFacts] = {}

    def call(self, inputs: Arrays) -> dict[str, Any]:
        return self._run(inputs)  # type: ignore[return-value]  # a dict, by both backends


def open_served(job: Job, threads: int) -> Runner:
    """A variant as Slipway's model server loads it, without the network; ONNX by onnxruntime.

    An engine runs on the GPU, whatever the number of threads.
    """
    from slipway.evaluation.runner import Runner

    if job.kind == "tensorrt":
        from slipway.evaluation.signatures import OnnxSignature
        from slipway.modelling.tensorrt_session import PLAN_FILE, TensorRTSession

        return Runner(job.variant, OnnxSignature(TensorRTSession(Path(job.servable, PLAN_FILE))))
    if job.kind == "onnx":
        from slipway.evaluation.signatures import OnnxSignature
        from slipway.modelling.onnx_graph import MODEL_FILE
        from slipway.modelling.onnx_session import OnnxSession

        session = OnnxSession(Path(job.servable, MODEL_FILE), threads=threads)
        return Runner(job.variant, OnnxSignature(session))

    from slipway.serving.server.flags import ServerFlags
    from slipway.serving.server.loaders import Loader
    from slipway.serving.server.metrics import Metrics

    flags = ServerFlags(
        prefer_tflite_model=job.kind == "tflite",
        enable_model_warmup=False,
        tensorflow_intra_op_parallelism=threads,
        tensorflow_inter_op_parallelism=threads,
    )
    servable = Loader(flags, Metrics()).load(Path(job.servable))
    return Runner(job.variant, _Served(servable, job.signature))


def _inputs(folder: Path, job: Job, runner: Runner) -> tuple[dict[str, Any], dict[str, Any]]:
    import numpy as np

    with np.load(folder / f"{job.variant}.npz") as file:
        many = runner.encode({name: file[name] for name in file.files})
    return {name: values[:1] for name, values in many.items()}, many


def _start_tensorflow() -> None:
    """Run a first graph, so that what the runtime itself takes is there before the variant."""
    import tensorflow as tf

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        session.run(tf.matmul(tf.ones((8, 8)), tf.ones((8, 8))))


def _import_backends() -> None:
    """Import what loading needs, so that it counts for no variant."""
    import numpy as np

    from slipway.evaluation import runner
    from slipway.serving.server import loaders

    del np, runner, loaders


def _answer_and_end(work: Callable[[], Any], reading: int, writing: int) -> None:
    _die_with_parent()
    os.close(reading)
    try:
        answer: dict[str, Any] = {"value": work()}
    except Exception as error:  # noqa: BLE001  # the edge of a process: the other side is told
        answer = {"problem": f"{type(error).__name__}: {error}"}
    with os.fdopen(writing, "w") as pipe:
        json.dump(answer, pipe)
    os._exit(0)


def _timed(outcome: tuple[Any, str]) -> dict[str, Any]:
    value, problem = outcome
    if problem:
        sys.exit(f"the variants could not be timed: {problem}")
    found: dict[str, Any] = value
    return found


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Measure the folder that the command line names."""
    _die_with_parent()
    # Imported, not started: the children inherit the code and set up the threads themselves.
    import ai_edge_litert.interpreter
    import onnxruntime
    import tensorflow as tf

    del ai_edge_litert, onnxruntime
    tf.get_logger().setLevel("ERROR")
    folder = Path(sys.argv[1])
    measure(folder).write(folder / "results.json")


if __name__ == "__main__":
    main()
