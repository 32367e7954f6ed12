"""Measure all variants beside each other: hand them to the measuring process, read its figures."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.errors import SlipwayError, TransientError
from slipway.evaluation.bench_worker import Job, Jobs, Results
from slipway.evaluation.facts import Benchmark, Measurement, Quantiles
from slipway.evaluation.runner import open_runner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from slipway.contracts import ArtifactRef

BATCH = 32
_FOR_P99 = 100
_MARGIN_SECONDS = 180.0
_SECONDS_A_VARIANT = 60.0


def measure_variants(
    variants: Mapping[str, ArtifactRef],
    inputs: Mapping[str, np.ndarray],
    signature: str,
    seed: int,
    say: Callable[[str], None],
) -> Benchmark:
    """Measure latency, throughput and peak memory.

    Every variant runs as Slipway's model server runs it, without the network: a SavedModel in a
    session with its feeds and fetches fixed beforehand, a TFLite model in an interpreter that is
    kept, an ONNX model in a session of onnxruntime. All are given NumPy arrays and give NumPy
    arrays. The variants take turns in a shuffled order, a few calls each.

    Args:
        variants: Artifacts by name.
        inputs: Examples by input name, as the model definition gives them.
        signature: The signature to run.
        seed: Of the order.
        say: Shows progress.

    Raises:
        TransientError: the measuring process died or did not end.
    """
    cores = len(os.sched_getaffinity(0))
    failures: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="slipway-benchmark-") as name:
        folder = Path(name)
        jobs = []
        for variant, artifact in variants.items():
            try:
                jobs.append(_prepare(folder, variant, artifact, inputs, signature))
            except SlipwayError as error:
                failures[variant] = error.message
        if not jobs:
            return Benchmark(variants={}, failures=failures, cores=cores, seed=seed)
        Jobs(jobs=tuple(jobs), seed=seed, cores=cores).write(folder / "jobs.json")
        say(f"measures {len(jobs)} variants in turns, with 1 thread and with {cores}")
        results = _run_worker(folder, _MARGIN_SECONDS + _SECONDS_A_VARIANT * len(jobs))
    batches = {job.variant: job.batch for job in jobs}
    return Benchmark(
        variants={name: _measurement(results, name, batches[name]) for name in results.memory},
        failures={**failures, **results.failures},
        cores=cores,
        seed=seed,
    )


def quantiles(nanoseconds: list[int]) -> Quantiles:
    """p50, p90 and p99 of call times, interpolated linearly between samples."""
    import numpy as np

    p50, p90, p99 = (np.quantile(nanoseconds, [0.5, 0.9, 0.99]) / 1e6).tolist()
    enough = len(nanoseconds) >= _FOR_P99
    return Quantiles(
        p50_ms=p50, p90_ms=p90, p99_ms=p99 if enough else None, samples=len(nanoseconds)
    )


def _prepare(
    folder: Path,
    variant: str,
    artifact: ArtifactRef,
    inputs: Mapping[str, np.ndarray],
    signature: str,
) -> Job:
    """Write a variant's inputs for the measuring process.

    A SavedModel is not loaded here: its inputs are only cast, others' may be quantized or fixed.
    """
    import numpy as np

    batch = BATCH
    arrays: dict[str, Any] = {name: np.asarray(values) for name, values in inputs.items()}
    if artifact.kind in {"tflite", "onnx", "tensorrt"}:
        runner = open_runner(artifact, signature, variant)
        batch = runner.batch or BATCH
        arrays = runner.encode(arrays)
    # Fewer examples than a batch: they are repeated.
    chosen = np.arange(batch) % len(next(iter(arrays.values())))
    plain = {name: _without_objects(values[chosen]) for name, values in arrays.items()}
    np.savez(folder / f"{variant}.npz", allow_pickle=False, **plain)
    return Job(
        variant=variant,
        servable=str(artifact.servable),
        kind=artifact.kind,
        signature=signature,
        batch=batch,
    )


def _without_objects(values: np.ndarray) -> np.ndarray:
    if values.dtype != object:
        return values
    import numpy as np

    flat = [value if isinstance(value, bytes) else str(value).encode() for value in values.ravel()]
    return np.array(flat, dtype=np.bytes_).reshape(values.shape)


def _run_worker(folder: Path, timeout_seconds: float) -> Results:
    command = [sys.executable, "-m", "slipway.evaluation.bench_worker", str(folder)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TransientError(
            f"the benchmark was not over after {timeout_seconds:.0f} s and was stopped",
            hint="try again when the machine is idle",
            subject="benchmark",
        ) from None
    if done.returncode:
        tail = "\n".join(done.stderr.splitlines()[-5:])
        raise TransientError(
            f"the measuring process ended with status {done.returncode}:\n{tail}",
            hint="it may have run out of memory; try again when the machine is idle",
            subject="benchmark",
        )
    return Results.model_validate_json((folder / "results.json").read_text("utf-8"))


def _measurement(results: Results, name: str, batch: int) -> Measurement:
    return Measurement(
        single_thread=quantiles(results.single_thread[name]),
        all_threads=quantiles(results.all_threads[name]),
        single_thread_throughput_per_second=results.single_thread_throughput[name],
        all_threads_throughput_per_second=results.all_threads_throughput[name],
        batch=batch,
        peak_memory_bytes=results.memory[name],
    )
