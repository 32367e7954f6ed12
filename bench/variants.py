"""What every option of the conversions costs and gives, and whether int8 is worth it.

    .venv/bin/python bench/variants.py [--model mobilenet ...] [--write docs/variants.md]

Each model is built by `slipway run` with a variant an option, so conversion, validation,
measurement (in turns, on the same core) and the verdicts are Slipway's own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from variant_options import CONVERSIONS, TRAINED
from variant_plot import plot

from slipway.report.content import REPORT_JSON, Report

if TYPE_CHECKING:
    from collections.abc import Collection

    from slipway.report.content import ReportedVariant

ROOT = Path(__file__).resolve().parents[1]
SMALLEST_INT8_SIZE_RATIO = 3.5
SMALLEST_INT8_SPEED_RATIO = 1.8
MODELS = ("digits", "diabetes", "mobilenet")
_JUDGED = ("lite", "lite_dynamic", "lite_int8")
# As Linux names them, of x86 and of Arm.
_DOT_PRODUCTS = {"avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8", "asimddp", "i8mm"}
_PLOT = "img/variants.svg"
_HEAD = """# What each option costs and gives

Written by `.venv/bin/python bench/variants.py --write docs/variants.md`. Latency, throughput
(batches) and memory are those of one thread; the variants of a model take turns on the same core,
so compare within a table. `mobilenet` is a network of MobileNetV2's size with random weights and
labels: read its agreement with the original, not its accuracy, and expect ranges that no trained
model has. Its spec rejects what is slower than the original (`gates.latency.largest_ratio: 1.0`).
In the same run int8 TFLite must be {size} times smaller than float32 TFLite. Where the processor
multiplies eight-bit integers by itself (VNNI, AMX or Arm's dot product) it must be {speed} times
faster, too, and dynamic range must lose that gate by itself: one such processor gave 3.53 and 2.19
times, and dynamic range 1.28 times the original's time. Elsewhere int8 saves memory, not time.

Measured on {machine}.

Blue points passed the gates of their spec, red ones were rejected.

![Compressed size and time of one request, by option]({plot})
"""
_COLUMNS = (
    "option", "metric", "agreement", "size KB", "compressed KB", "p50 ms", "p99 ms",
    "examples/s", "peak MB", "verdict",
)  # fmt: skip


def spec_of(model: str, options: Collection[str], bucket: Path) -> dict[str, Any]:
    """The model's spec with a variant an option in place of its own."""
    conversions = {name: chain for name, chain in CONVERSIONS.items() if name in options}
    publish = {"base_uri": bucket.as_uri()}
    if model != "mobilenet":
        spec: dict[str, Any] = yaml.safe_load((ROOT / f"dags/models/{model}.yaml").read_text())
        # Those that train are as the model's own spec has them: their options hang on the model.
        trained = {name: spec["variants"][name] for name in TRAINED}
        return {**spec, "variants": {**trained, **conversions}, "publish": publish}
    return {
        "model": "mobilenet",
        "description": "A network of MobileNetV2's size with random weights.",
        "owner": "bench",
        "definition": "mobilenet",
        "seed": 7,
        "variants": conversions,
        "publish": publish,
        "gates": {
            "metrics": {"accuracy": {"floor": 0.0}},
            "latency": {"largest_ratio": 1.0},
        },
    }


def measure(model: str, options: Collection[str], kept: Path | None) -> Report:
    """Build the model with the options; what the report says of each."""
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as name:
        file, bucket = Path(name, f"{model}.yaml"), Path(name, "bucket")
        bucket.mkdir()
        spec = spec_of(model, options, bucket)
        file.write_text(yaml.safe_dump(spec, sort_keys=False))
        shutil.copy(ROOT / "dags/models/_defaults.yaml", name)
        workspace = kept or Path(name, "workspace")
        definitions = ROOT / ("bench/models" if model == "mobilenet" else "include/models")
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("slipway")),
                *("run", str(file), "--workspace", str(workspace), "--json"),
            ],
            env={**os.environ, "SLIPWAY_DEFINITIONS": str(definitions)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{model} was not built:\n{done.stdout[-2000:]}{done.stderr[-3000:]}")
        selected = json.loads(done.stdout)["outcomes"]["select"]["result"]["details"]
        page = Path(selected["report"])
        return Report.model_validate_json(page.with_name(REPORT_JSON).read_text())


def row(variant: ReportedVariant, metric: str) -> list[str]:
    """One line of the table."""
    evaluation, measured = variant.evaluation, variant.measurement
    reasons = "; ".join(reason.text for reason in variant.judgement.reasons)
    verdict = f"{variant.judgement.verdict}: {reasons}" if reasons else variant.judgement.verdict
    if evaluation is None or measured is None:
        return [variant.name, *["–"] * 8, verdict]  # noqa: RUF001  # an empty cell of the page
    times = measured.single_thread
    return [
        variant.name,
        f"{evaluation.metrics[metric].value:.4f}",
        f"{evaluation.agreement:.3f}",
        f"{evaluation.size_bytes / 1e3:,.0f}",
        f"{evaluation.compressed_bytes / 1e3:,.0f}",
        f"{times.p50_ms:.3f}",
        "–" if times.p99_ms is None else f"{times.p99_ms:.3f}",  # noqa: RUF001  # an empty cell
        f"{measured.single_thread_throughput_per_second:,.0f}",
        f"{(measured.peak_memory_bytes or 0) / 1e6:.1f}",
        verdict,
    ]


def section(report: Report) -> str:
    """The part of the page about one model."""
    lines = [_COLUMNS, ["---"] * len(_COLUMNS)]
    lines += [row(variant, report.metric) for variant in report.variants]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"## {report.model}\n\nThe metric is {report.metric}.\n\n{table}\n"


def broken(report: Report) -> list[str]:
    """The limits that the network of MobileNetV2's size breaks."""
    found = {variant.name: variant for variant in report.variants}
    size, time = ratios(report)
    dynamic = [reason.text for reason in found["lite_dynamic"].judgement.reasons]
    problems = {f"int8 is {size:.2f} times smaller than float32": size < SMALLEST_INT8_SIZE_RATIO}
    if multiplies_integers():
        slow = f"int8 is {time:.2f} times faster than float32"
        problems[slow] = time < SMALLEST_INT8_SPEED_RATIO
        passed = f"dynamic range passed its latency gate: {dynamic}"
        problems[passed] = not any("p50" in each for each in dynamic)
    return [text for text, holds in problems.items() if holds]


def machine() -> str:
    """The processor, and whether eight-bit integers are anything to it."""
    facts = _processor()
    name = facts.get("model name") or platform.processor() or platform.machine()
    return f"{name}, {'with' if multiplies_integers() else 'without'} eight-bit dot products"


def multiplies_integers() -> bool:
    """Whether the processor has instructions for dot products of eight-bit integers."""
    facts = _processor()
    known = set(f"{facts.get('flags', '')} {facts.get('Features', '')}".split())
    return bool(known & _DOT_PRODUCTS)


def _processor() -> dict[str, str]:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().split("\n\n")[0].splitlines() if file.is_file() else []
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}


def ratios(report: Report) -> tuple[float, float]:
    """How many times smaller and faster int8 is than float32 TFLite."""
    found = {variant.name: variant for variant in report.variants}
    one, other = found["lite"], found["lite_int8"]
    if not (one.evaluation and other.evaluation and one.measurement and other.measurement):
        sys.exit(f"not measured: {row(one, report.metric)}, {row(other, report.metric)}")
    return (
        one.evaluation.size_bytes / other.evaluation.size_bytes,
        one.measurement.single_thread.p50_ms / other.measurement.single_thread.p50_ms,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--option", nargs="+", default=tuple(CONVERSIONS), choices=CONVERSIONS)
    parser.add_argument("--workspace", type=Path, help="keeps what was built, for the next time")
    parser.add_argument("--write", type=Path, help="the page to write")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    reports = [measure(model, given.option, given.workspace) for model in given.model]
    page = "\n".join(
        [
            _HEAD.format(
                size=SMALLEST_INT8_SIZE_RATIO,
                speed=SMALLEST_INT8_SPEED_RATIO,
                machine=machine(),
                plot=_PLOT,
            ),
            *map(section, reports),
        ]
    )
    print(page)
    if given.write:
        given.write.write_text(page)
        drawn = given.write.parent / _PLOT
        drawn.write_text(plot(reports))
    if given.json:
        given.json.write_text(json.dumps([report.model_dump(mode="json") for report in reports]))
    problems = [
        text for report in reports if report.model == "mobilenet" for text in broken(report)
    ]
    print("\n".join(f"broken: {text}" for text in problems) or "every limit holds")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
