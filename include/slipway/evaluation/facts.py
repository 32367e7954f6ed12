"""What is measured of a variant, as JSON: evaluation.json and the benchmark's figures."""

from __future__ import annotations

from slipway.contracts import Contract

EVALUATION_FILE = "evaluation.json"


class Interval(Contract):
    """A confidence interval, both ends included."""

    low: float
    high: float


class MetricFacts(Contract):
    """One metric of a variant beside the original's.

    Attributes:
        lower_is_better: Whether less of it is better.
        value: The variant's value.
        interval: Of the value, by bootstrap; None where too few resamples define the metric.
        original: The original's value on the same examples.
        drop: How much worse than the original, in the metric's unit; negative is better.
        drop_interval: Of the drop, by the paired bootstrap.
    """

    lower_is_better: bool
    value: float
    interval: Interval | None = None
    original: float
    drop: float
    drop_interval: Interval | None = None


class SliceFacts(Contract):
    """The metrics on one slice of the held-out data.

    Attributes:
        examples: How many examples the slice has.
        metrics: By name; a metric that the slice does not define is absent.
        lost: Metrics that have a value for the original's answers and none for the variant's.
    """

    examples: int
    metrics: dict[str, MetricFacts]
    lost: tuple[str, ...] = ()


class TensorFacts(Contract):
    """An input or output of a signature.

    Attributes:
        dtype: TensorFlow's name, such as float32 or string.
        shape: -1 where any size fits.
        scale: Of a quantized integer tensor: real = scale * (integer - zero_point); else 0.
        zero_point: See `scale`.
    """

    dtype: str
    shape: tuple[int, ...]
    scale: float = 0.0
    zero_point: int = 0


class ServerFacts(Contract):
    """What the model server answered to the golden requests.

    Attributes:
        requests: How many were asked.
        largest_difference: From the variant's own answers, over all numbers; None if it did not
            load or answered something else than numbers of the same shape.
        problems: One line each: it did not load, refused a request or answered something else.
        answered_by: What was asked: the model server, or the runtime that stands in for one.
    """

    requests: int
    largest_difference: float | None
    problems: tuple[str, ...] = ()
    answered_by: str = "model server"


class Evaluation(Contract):
    """The content of evaluation.json: one variant against the original on the test split.

    Attributes:
        examples: Examples of the test split.
        confidence: Level of every interval.
        resamples: Bootstrap resamples behind every interval.
        metrics: By name.
        slices: By name, as the model definition names them.
        agreement: Share of examples answered as the original answers them.
        agreement_rule: What counts as the same answer, in words.
        largest_difference: Largest absolute difference between any two outputs.
        size_bytes: Bytes on disk of what a server loads.
        compressed_bytes: The same files, each compressed by zlib at level 9.
        inputs: The signature's inputs by name.
        outputs: The signature's outputs by name.
        other_interface: How the signature differs from the original's, so that a client of the
            original could not talk to the variant; None if it does not.
        server: What the model server answered.
        triton_config: How Triton would serve it, as text proto; None if Triton would not.
    """

    model: str
    variant: str
    examples: int
    confidence: float
    resamples: int
    metrics: dict[str, MetricFacts]
    slices: dict[str, SliceFacts]
    agreement: float
    agreement_rule: str
    largest_difference: float
    size_bytes: int
    compressed_bytes: int
    inputs: dict[str, TensorFacts]
    outputs: dict[str, TensorFacts]
    other_interface: str | None
    server: ServerFacts
    triton_config: str | None = None


class Quantiles(Contract):
    """The time of one call, batch of one, in milliseconds.

    Attributes:
        p50_ms: Median.
        p90_ms: 90th percentile.
        p99_ms: 99th percentile; None with fewer than 100 samples, which cannot show it.
        samples: Calls that were timed.
    """

    p50_ms: float
    p90_ms: float
    p99_ms: float | None
    samples: int


class Measurement(Contract):
    """What the benchmark measured of one variant.

    Attributes:
        single_thread: Latency with one thread.
        all_threads: Latency with a thread a core.
        single_thread_throughput_per_second: Examples a second in batches of `batch`, one thread.
        all_threads_throughput_per_second: The same with a thread a core.
        batch: Examples in a batch.
        peak_memory_bytes: Largest rise of the memory of a process of its own while it loads the
            variant and answers: what it allocates and the model's own files, not the libraries'
            code; None if the kernel does not tell.
    """

    single_thread: Quantiles
    all_threads: Quantiles
    single_thread_throughput_per_second: float
    all_threads_throughput_per_second: float
    batch: int
    peak_memory_bytes: int | None


class Benchmark(Contract):
    """The benchmark of all variants in one run.

    Attributes:
        variants: What was measured, by name.
        failures: Why a variant could not be measured, by name.
        cores: Cores of the machine that the benchmark might use.
        seed: Of the order in which the variants took turns.
    """

    variants: dict[str, Measurement]
    failures: dict[str, str]
    cores: int
    seed: int
