from __future__ import annotations

import pickle
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.registry import TECHNIQUES
from slipway.spec.loader import SpecError, load_spec, spec_files
from support.specs import PROJECT, write_spec

if TYPE_CHECKING:
    from pathlib import Path


def problem_of(file: Path) -> str:
    with pytest.raises(SpecError) as caught:
        load_spec(file)
    assert len(caught.value.problems) == 1
    return str(caught.value.problems[0])


@pytest.mark.parametrize("file", spec_files(PROJECT / "dags/models"), ids=lambda file: file.stem)
def test_every_shipped_spec_is_valid(file: Path) -> None:
    assert load_spec(file).model == file.stem


def test_the_smallest_spec_is_valid(tmp_path: Path) -> None:
    assert load_spec(write_spec(tmp_path)).variants == {}


@pytest.mark.parametrize(
    ("publish", "connection"),
    [
        ("base_uri: 's3://models'", "aws_default"),
        ("base_uri: 'gs://models_eu/a'", "google_cloud_default"),
        ("base_uri: 'gs://models', connection: mine", "mine"),
    ],
)
def test_the_connection_follows_the_cloud(tmp_path: Path, publish: str, connection: str) -> None:
    file = write_spec(tmp_path)
    text = file.read_text("utf-8").replace('base_uri: "s3://models"', publish)
    file.write_text(text, "utf-8")
    assert load_spec(file).publish.connection == connection


@pytest.mark.parametrize("base_uri", ["gs://Upper", "s3://under_score", "gs://x", "az://models"])
def test_a_bucket_that_cannot_be_is_named_with_its_line(tmp_path: Path, base_uri: str) -> None:
    file = write_spec(tmp_path)
    file.write_text(file.read_text("utf-8").replace("s3://models", base_uri), "utf-8")
    assert problem_of(file).startswith(f"{file}:7: publish.base_uri")


def test_an_unknown_field_is_named_with_its_line_and_the_nearest_field(tmp_path: Path) -> None:
    file = write_spec(tmp_path, extra="variants:\n  small: {prune: {final_sparsty: 0.5}}\n")
    message = problem_of(file)
    assert message.startswith(f"{file}:13: variants.small.prune.final_sparsty: unknown field")
    assert "did you mean 'final_sparsity'?" in message


def test_a_wrong_choice_shows_what_was_found_and_what_is_allowed(tmp_path: Path) -> None:
    file = write_spec(tmp_path, extra="variants:\n  lite: {tflite: {precision: int9}}\n")
    message = problem_of(file)
    assert "variants.lite.tflite.precision: found 'int9'; did you mean 'int8'?" in message
    assert "allowed: dynamic_range, float16, float32, int16x8, int8" in message


def test_a_wrong_type_shows_what_was_found(tmp_path: Path) -> None:
    message = problem_of(write_spec(tmp_path, extra="seed: many\n"))
    assert ":12: seed: found 'many'; allowed: a valid integer" in message


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    file = write_spec(tmp_path)
    file.write_text(file.read_text().replace("definition: digits\n", ""))
    assert "definition: missing; this field is required" in problem_of(file)


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    file = write_spec(tmp_path, extra="seed: -1\nowned: me\n")
    with pytest.raises(SpecError) as caught:
        load_spec(file)
    assert [problem.field for problem in caught.value.problems] == ["seed", "owned"]


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    message = problem_of(write_spec(tmp_path, extra="seed: 1\nseed: 2\n"))
    assert ":13: the key 'seed' stands here a second time" in message


def test_a_date_that_does_not_exist_is_named_with_its_line(tmp_path: Path) -> None:
    message = problem_of(write_spec(tmp_path, extra="owner: 2026-02-30\n"))
    assert ":12: 2026-02-30: day is out of range for month" in message


@pytest.mark.parametrize("schedule", ["61 25 * * *", "every day", "* * * *"])
def test_a_cron_expression_that_can_never_be_is_named_with_its_line(
    tmp_path: Path, schedule: str
) -> None:
    message = problem_of(write_spec(tmp_path, extra=f'schedule: "{schedule}"\n'))
    assert ":12: schedule: no cron expression" in message


@pytest.mark.parametrize("schedule", ["30 4 * * 1-5", "@daily"])
def test_a_schedule_may_be_a_cron_expression_or_a_preset(tmp_path: Path, schedule: str) -> None:
    spec = load_spec(write_spec(tmp_path, extra=f'schedule: "{schedule}"\n'))
    assert spec.schedule == schedule


def test_another_ending_is_refused_with_the_right_name(tmp_path: Path) -> None:
    file = write_spec(tmp_path).rename(tmp_path / "tiny.yml")
    assert spec_files(tmp_path) == [file]
    assert "rename it to tiny.yaml" in problem_of(file)


@pytest.mark.parametrize("content", ["", "- a\n", "a: [\n", "\t- x"])
def test_what_is_no_mapping_is_refused_with_the_file(tmp_path: Path, content: str) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(content)
    assert problem_of(file).startswith(str(file))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in problem_of(file)


def test_the_model_must_be_named_as_the_file(tmp_path: Path) -> None:
    file = write_spec(tmp_path).rename(tmp_path / "other.yaml")
    assert ":1: model: found 'tiny'; allowed: the file's own name, 'other'" in problem_of(file)


def test_defaults_are_inherited_key_by_key_and_own_values_win(tmp_path: Path) -> None:
    (tmp_path / "_defaults.yaml").write_text("publish: {keep_versions: 9}\nseed: 3\n")
    spec = load_spec(write_spec(tmp_path, extra="seed: 4\n"))
    assert (spec.publish.keep_versions, spec.seed) == (9, 4)


def test_an_own_objective_replaces_the_inherited_one(tmp_path: Path) -> None:
    (tmp_path / "_defaults.yaml").write_text("objective: {maximise: accuracy}\n")
    assert load_spec(write_spec(tmp_path)).objective.maximise is None


def test_a_mistake_in_the_defaults_names_the_defaults(tmp_path: Path) -> None:
    defaults = tmp_path / "_defaults.yaml"
    defaults.write_text("seed: 1\nserve: {prefer_tflight: true}\n")
    assert problem_of(write_spec(tmp_path)).startswith(f"{defaults}:2: serve.prefer_tflight")


@pytest.mark.parametrize(
    ("variants", "field", "message"),
    [
        ("  a: {from: b, tflite: {}}", "a.from", "no variant 'b'"),
        ("  a: {from: a, prune: {}}", "a.from", "comes back to itself"),
        ("  original: {prune: {}}", "original", "choose another name"),
        ("  a: {tflite: {}}\n  b: {from: a, prune: {}}", "b.prune", "whose result is tflite"),
    ],
)
def test_a_chain_that_cannot_be_is_refused(
    tmp_path: Path, variants: str, field: str, message: str
) -> None:
    found = problem_of(write_spec(tmp_path, extra=f"variants:\n{variants}\n"))
    assert f"variants.{field}: " in found
    assert message in found


@pytest.mark.parametrize("variant", ["{}", "{prune: {}, tflite: {}}", "{required: true}"])
def test_a_variant_has_exactly_one_technique(tmp_path: Path, variant: str) -> None:
    found = problem_of(write_spec(tmp_path, extra=f"variants:\n  a: {variant}\n"))
    assert f"variants.a: give exactly one technique of {', '.join(TECHNIQUES)}" in found


def test_a_technique_without_options_takes_its_defaults(tmp_path: Path) -> None:
    spec = load_spec(write_spec(tmp_path, extra="variants:\n  a:\n    tflite:\n"))
    assert spec.variants["a"].technique == "tflite"


def test_keras_techniques_refuse_an_imported_saved_model(tmp_path: Path) -> None:
    extra = "saved_model: exported\nvariants:\n  a: {prune: {}}\n"
    assert "prune needs a Keras model" in problem_of(write_spec(tmp_path, extra=extra))


def test_a_health_policy_without_room_for_its_looks_is_refused(tmp_path: Path) -> None:
    file = write_spec(tmp_path)
    file.write_text(file.read_text().replace("health:", "health:\n    timeout_seconds: 3"))
    assert "timeout_seconds 3 leaves no room" in problem_of(file)


def test_a_spec_error_survives_pickling(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(write_spec(tmp_path, extra="seed: x\n"))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)


@settings(max_examples=60)
@given(st.text(max_size=60))
def test_no_text_makes_the_loader_raise_anything_but_a_spec_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    file = tmp_path_factory.mktemp("fuzz") / "tiny.yaml"
    file.write_text(text, "utf-8", errors="replace")
    with pytest.raises(SpecError):
        load_spec(file)


def test_loading_a_spec_imports_neither_tensorflow_nor_airflow() -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from slipway.spec.loader import load_spec\n"
        f"load_spec(Path({str(PROJECT / 'dags/models/digits.yaml')!r}))\n"
        "heavy = {'tensorflow', 'tf_keras', 'keras', 'numpy', 'airflow', 'sklearn'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("serve", "message"),
    [
        ("fallback: other", "there is no variant 'other'"),
        ("fallback: trt", "trt has engines itself"),
        ("fallback: graph", "graph is onnx, not served by tensorflow_serving"),
        ("fallback: original\n  server: triton", "original is keras, not served by triton"),
    ],
)
def test_a_fallback_that_could_not_take_over_is_refused(
    tmp_path: Path, serve: str, message: str
) -> None:
    variants = "  graph: {onnx: {}}\n  trt: {from: graph, tensorrt: {}}"
    extra = f"variants:\n{variants}\nserve:\n  {serve}\n"
    assert message in problem_of(write_spec(tmp_path, extra=extra))
