"""What the documentation says is there, is there."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from slipway.cli.main import COMMANDS
from slipway.spec.loader import load_spec
from slipway.spec.plan import plan_build, plan_rollout
from slipway.spec.variants import ORIGINAL
from support.specs import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

DOCS = sorted((PROJECT / "docs").rglob("*.md"))
NAMES = [str(file.relative_to(PROJECT)) for file in DOCS]


def blocks(name: str, language: str) -> list[str]:
    """The fenced blocks of a page with exactly this info string."""
    text = (PROJECT / "docs" / name).read_text("utf-8")
    return re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("file", DOCS, ids=NAMES)
def test_links_lead_somewhere(file: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", file.read_text("utf-8")):
        assert (file.parent / target).exists(), target


@pytest.mark.parametrize("file", DOCS, ids=NAMES)
def test_commands_exist(file: Path) -> None:
    text = file.read_text("utf-8")
    for name in re.findall(r"(?:`|\$ |exec \w+ )slipway ([a-z]+)", text):
        assert name in COMMANDS
    targets = set(re.findall(r"^([a-z0-9-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z0-9-]+)`", text)) <= targets


@pytest.mark.parametrize("file", DOCS, ids=NAMES)
def test_modules_and_files_that_are_named_exist(file: Path) -> None:
    roots = [PROJECT, PROJECT / "include", PROJECT / "plugins", PROJECT / "include" / "slipway"]
    pattern = r"`((?:[a-z_.]+/)+(?:[a-z_]+\.(?:py|yaml|md))?|[a-z_]+\.toml)`"
    for path in re.findall(pattern, file.read_text("utf-8")):
        made_by_hand = path == "include/models/digits/"
        assert made_by_hand or any((root / path).exists() for root in roots), path


def test_operations_name_every_task() -> None:
    text = (PROJECT / "docs/operations.md").read_text("utf-8")
    named = set(re.findall(r"^\| `([a-z_.<>]+)` \|", text, re.MULTILINE))
    spec = load_spec(PROJECT / "dags/models/digits.yaml")
    general = set()
    for step in plan_build(spec):
        variant, dot, task = step.task_id.rpartition(".")
        if dot and variant != ORIGINAL:
            task = "validate" if task == "validate" else "<technique>"
            general.add(f"<variant>.{task}")
        elif task != "validate":
            general.add(step.task_id)
    rollout = {step.task_id for step in plan_rollout(spec)} | {"health", "stable"}
    assert general | rollout <= named


def test_quotations_from_the_digits_are_true() -> None:
    source = (PROJECT / "include/models/digits.py").read_text("utf-8")
    quoted = blocks("model-definitions.md", "python digits")
    assert len(quoted) == 3
    assert [block for block in quoted if block not in source] == []


def test_the_example_definition_works(tmp_path: Path) -> None:
    module = tmp_path / "wine.py"
    module.write_text("\n\n".join(blocks("model-definitions.md", "python wine")))
    train, gates = (yaml.safe_load(block) for block in blocks("model-definitions.md", "yaml"))
    spec = tmp_path / "spec.yaml"
    spec.write_text(yaml.safe_dump({**train, **gates}))
    code = TRY.format(module=str(module), spec=str(spec))
    environment = {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


TRY = """
from pathlib import Path
import yaml
from slipway.definition import data_version, load_definition
from slipway.evaluation.metrics import find_metrics
from slipway.modelling import keras
from slipway.modelling.data import load_split
from slipway.modelling.export import feed, signature_inputs
from slipway.spec.gates import MetricGate
from slipway.steps.train import TrainConfig

spec = yaml.safe_load(Path({spec!r}).read_text())
config = TrainConfig.model_validate(spec["train"])
definition = load_definition(Path({module!r}))
keras.make_repeatable(1)
model, student = keras.build(definition, "build_model"), keras.build(definition, "build_student")
inputs = signature_inputs(model, definition)
own = definition.module.SIGNATURE_INPUTS
del definition.module.SIGNATURE_INPUTS
assert signature_inputs(model, definition) == inputs, "what is declared is what the model has"
train, validation, test = (
    load_split(definition, split, inputs) for split in ("train", "validation", "test")
)
options = {{**config.model_dump(mode="json"), "seed": 1}}
figures = definition.call("train", model, train, validation, options)
assert 0 < figures["epochs_trained"] <= config.epochs
assert data_version(Path({module!r})), "it is found without an import"
outputs = model.predict(feed(model, test.inputs), verbose=0)
gates = {{name: MetricGate(**gate) for name, gate in spec["gates"]["metrics"].items()}}
[metric] = find_metrics(gates, definition)
assert metric.lower_is_better
assert metric.value(test.labels, outputs) <= gates[metric.name].ceiling
assert student.output_shape == model.output_shape
found = definition.call("slices", test)
assert sum(chosen.sum() for chosen in found.values()) == len(test)
"""


def test_every_picture_is_shown_and_is_one_that_the_command_takes() -> None:
    kept = {file.stem for file in (PROJECT / "docs/img").glob("*.png")}
    day = (PROJECT / "tests/e2e/test_operator.py").read_text("utf-8")
    assert kept == set(re.findall(r"\.picture\(\"([a-z-]+)\"\)", day))
    shown = re.findall(r"\]\(img/([a-z-]+)\.png\)", "".join(f.read_text("utf-8") for f in DOCS))
    assert kept == set(shown)
