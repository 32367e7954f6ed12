from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tf_keras.protobuf import saved_metadata_pb2  # noqa: TID253 - the real format
from typer.testing import CliRunner

from slipway.cli.main import app
from slipway.errors import TerminalError
from slipway.modelling import saved_model
from slipway.modelling.untrusted import require_safe, scan
from slipway.modelling.untrusted_operations import LAMBDA, OPERATIONS
from support.planted_models import PLANTED, plant

if TYPE_CHECKING:
    from collections.abc import Callable

TESTS = Path(__file__).parents[2]
IMPORTED = TESTS.parent / "include" / "models" / "breast_cancer" / "saved_model"
CLEAN = ("clean", "clean_functions", "clean_vocabulary", "clean_old_vocabulary")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every planted model, made by TensorFlow."""
    folder = tmp_path_factory.mktemp("planted")
    plant(folder)
    return folder


@pytest.fixture
def edited(planted: Path, tmp_path: Path) -> Callable[[str, Callable[[Any], None]], Path]:
    """Copies a model with its graph changed, as somebody would who does not use TensorFlow."""

    def edit(name: str, change: Callable[[Any], None]) -> Path:
        folder = tmp_path / name
        shutil.copytree(planted / name, folder)
        content = saved_model.parse(folder)
        change(content.meta_graphs[0])
        (folder / "saved_model.pb").write_bytes(content.SerializeToString())
        return folder

    return edit


@pytest.mark.parametrize(("name", "operation"), PLANTED.items())
def test_what_was_planted_is_refused_by_name_and_node(planted: Path, name: str, operation: str):
    with pytest.raises(TerminalError, match=rf"{operation} \(node '") as caught:
        require_safe(planted / name)
    assert f"allow_operations: [{operation}" in caught.value.hint or "," in caught.value.hint
    assert any(text.startswith(operation) for text in caught.value.details["findings"])


@pytest.mark.parametrize("name", PLANTED)
def test_what_the_spec_allows_by_name_is_not_refused(planted: Path, name: str):
    every = {found.operation for found in scan(planted / name)}
    require_safe(planted / name, every)
    for left in every:
        with pytest.raises(TerminalError, match=left):
            require_safe(planted / name, every - {left})


@pytest.mark.parametrize("name", CLEAN)
def test_what_an_exporter_writes_itself_is_not_refused(planted: Path, name: str):
    assert scan(planted / name) == []


def test_the_model_that_comes_with_slipway_is_not_refused():
    require_safe(IMPORTED)


def test_a_nested_function_is_named(planted: Path):
    (found,) = scan(planted / "writes_in_nested_function")
    assert "inner" in found.function


def test_python_in_a_layer_of_keras_is_refused_by_the_layers_name(planted: Path):
    with pytest.raises(TerminalError, match=r"Lambda \(node 'doubled'\) holds Python code"):
        require_safe(planted / "lambda")
    require_safe(planted / "lambda", {LAMBDA})


@pytest.mark.parametrize(
    "function", ["io.write_file", "py_function", "load_library", "math.x.y", "compat.v1.io.gfile"]
)
def test_a_function_that_keras_would_call_when_it_loads_a_model_is_refused_by_name(
    planted: Path, tmp_path: Path, function: str
):
    folder = tmp_path / "changed"
    shutil.copytree(planted / "clean_functions", folder)
    metadata = folder / "keras_metadata.pb"
    content = saved_metadata_pb2.SavedMetadata.FromString(metadata.read_bytes())
    for node in content.nodes:
        node.metadata = node.metadata.replace('"math.exp"', json.dumps(function))
    metadata.write_bytes(content.SerializeToString())
    with pytest.raises(TerminalError, match=rf"Lambda .* Keras call tf\.{function}"):
        require_safe(folder)
    require_safe(folder, {LAMBDA})


def test_an_operation_that_ends_the_server_is_refused(edited: Any):
    def change(graph: Any) -> None:
        graph.graph_def.node.add(name="end", op="Abort")

    with pytest.raises(TerminalError, match=r"Abort \(node 'end'\) ends the process"):
        require_safe(edited("clean", change))


def test_an_operation_that_tensorflow_does_not_know_is_refused(edited: Any):
    def change(graph: Any) -> None:
        graph.graph_def.library.function[0].node_def.add(name="odd", op="Vendor>Odd")

    with pytest.raises(TerminalError, match=r"Vendor>Odd \(node 'odd' of function .* not known"):
        require_safe(edited("clean", change))


def test_the_saver_may_restore_only_what_the_loader_names(edited: Any):
    def change(graph: Any) -> None:
        nodes = {node.name: node for node in graph.graph_def.node}
        place = graph.graph_def.node.add(name="elsewhere", op="Const")
        place.attr["value"].tensor.string_val.append(b"/somewhere/else")
        nodes[graph.saver_def.restore_op_name].input[0] = "elsewhere"

    with pytest.raises(TerminalError, match=r"RestoreV2 .* reads files"):
        require_safe(edited("clean", change))


def test_a_table_may_not_read_another_file_by_the_variable_of_an_asset(edited: Any):
    def change(graph: Any) -> None:
        (assign,) = (n for n in graph.graph_def.node if n.op == "AssignVariableOp")
        place = graph.graph_def.node.add(name="elsewhere", op="Const")
        place.attr["value"].tensor.string_val.append(b"/somewhere/else")
        assign.input[1] = "elsewhere"

    with pytest.raises(TerminalError, match="InitializeTableFromTextFileV2"):
        require_safe(edited("clean_vocabulary", change))


def test_an_asset_that_is_a_constant_may_not_be_read_by_requests(edited: Any):
    def change(graph: Any) -> None:
        nodes = {node.name: node for node in graph.graph_def.node}
        nodes["mul"].input.append("^text_file_init/InitializeTableFromTextFileV2")

    with pytest.raises(TerminalError, match="InitializeTableFromTextFileV2"):
        require_safe(edited("clean_old_vocabulary", change))


def test_a_function_that_calls_itself_hides_no_file_name(edited: Any):
    def change(graph: Any) -> None:
        nodes = {node.name: node for node in graph.graph_def.node}
        restore = nodes[graph.saver_def.restore_op_name].attr["f"].func.name
        (function,) = (f for f in graph.graph_def.library.function if f.signature.name == restore)
        again = function.node_def.add(name="again", op="StatefulPartitionedCall")
        again.attr["f"].func.name = restore
        first, *others = (argument.name for argument in function.signature.input_arg)
        again.input.extend([f"{first}_elsewhere", *others])

    with pytest.raises(TerminalError, match="RestoreV2"):
        require_safe(edited("clean", change))


def table_initializer(graph: Any) -> Any:
    """The function that reads the vocabulary."""
    (found,) = (
        function
        for function in graph.graph_def.library.function
        for node in function.node_def
        if node.op == "InitializeTableFromTextFileV2"
    )
    return found


def test_an_asset_that_a_request_may_name_is_refused(edited: Any):
    def change(graph: Any) -> None:
        graph.signature_def["serving_default"].inputs["path"].name = "asset_path_initializer:0"

    with pytest.raises(TerminalError, match="InitializeTableFromTextFileV2"):
        require_safe(edited("clean_vocabulary", change))


def test_a_function_that_is_handed_on_as_an_attribute_is_refused(edited: Any):
    """G is called with the asset, and hands the table's function another file."""

    def change(graph: Any) -> None:
        name = table_initializer(graph).signature.name
        (call,) = (n for n in graph.graph_def.node if n.attr["f"].func.name == name)
        call.attr["f"].func.name = "handing_on"
        call.attr["f"].func.attr["H"].func.name = name
        handing_on = graph.graph_def.library.function.add()
        handing_on.signature.name = "handing_on"
        for argument in ("path", "table"):
            handing_on.signature.input_arg.add(name=argument)
        inner = handing_on.node_def.add(name="inner", op="StatefulPartitionedCall")
        inner.attr["f"].placeholder = "H"

    with pytest.raises(TerminalError, match="InitializeTableFromTextFileV2"):
        require_safe(edited("clean_vocabulary", change))


def test_a_function_that_an_optimiser_swaps_in_is_refused(edited: Any):
    def change(graph: Any) -> None:
        table_initializer(graph).attr["api_implements"].s = b"another"

    with pytest.raises(TerminalError, match="InitializeTableFromTextFileV2"):
        require_safe(edited("clean_vocabulary", change))


def test_an_attribute_that_the_caller_fills_in_is_refused(edited: Any):
    def change(graph: Any) -> None:
        node = graph.graph_def.library.function[0].node_def.add(name="say", op="PrintV2")
        node.attr["output_stream"].placeholder = "S"

    with pytest.raises(TerminalError, match=r"PrintV2 \(node 'say'"):
        require_safe(edited("clean", change))


def test_an_asset_outside_the_folder_is_refused(edited: Any):
    def change(graph: Any) -> None:
        graph.asset_file_def[0].filename = "../../secret"

    with pytest.raises(TerminalError, match=r"'../../secret' lies outside the folder assets"):
        require_safe(edited("clean_vocabulary", change))


def test_an_asset_that_is_missing_is_refused(planted: Path, tmp_path: Path):
    shutil.copytree(planted / "clean_vocabulary", tmp_path / "model")
    (tmp_path / "model" / "assets" / "vocabulary.txt").unlink()
    with pytest.raises(TerminalError, match=r"the asset 'vocabulary.txt' is missing"):
        require_safe(tmp_path / "model")


def test_a_link_is_refused(planted: Path, tmp_path: Path):
    shutil.copytree(planted / "clean", tmp_path / "model")
    (tmp_path / "model" / "assets" / "link").symlink_to("/etc/hostname")
    with pytest.raises(TerminalError, match="is a link"):
        require_safe(tmp_path / "model")


@pytest.mark.parametrize("name", ["saved_model.cpb", "saved_model.pbtxt", "model.tflite"])
def test_a_second_model_that_would_be_loaded_instead_is_refused(
    planted: Path, tmp_path: Path, name: str
):
    shutil.copytree(planted / "clean", tmp_path / "model")
    (tmp_path / "model" / name).write_bytes(b"another")
    with pytest.raises(TerminalError, match=f"{name} would be loaded in place of"):
        require_safe(tmp_path / "model")


def test_a_constant_that_would_fill_the_memory_is_refused(edited: Any):
    def change(graph: Any) -> None:
        node = graph.graph_def.node.add(name="huge", op="Const")
        node.attr["value"].tensor.dtype = 1
        node.attr["value"].tensor.tensor_shape.dim.add(size=1 << 40)

    with pytest.raises(TerminalError, match="'huge' would take 4398046511104 bytes"):
        require_safe(edited("clean", change))


def test_variables_that_the_files_cannot_hold_are_refused(planted: Path, tmp_path: Path):
    shutil.copytree(planted / "clean", tmp_path / "model")
    data = tmp_path / "model" / "variables" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1])
    with pytest.raises(TerminalError, match=r"promises \d+ bytes of variables, .* hold 1"):
        require_safe(tmp_path / "model")


def test_what_is_no_savedmodel_is_said_so(tmp_path: Path):
    (tmp_path / "variables").mkdir()
    for name in ("saved_model.pb", "variables/variables.index", "variables/variables.data-0"):
        (tmp_path / name).write_bytes(b"no protobuf")
    with pytest.raises(TerminalError, match="is not a SavedModel"):
        require_safe(tmp_path)


def test_every_operation_of_tensorflow_that_names_a_file_or_a_host_was_judged():
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    buffer = pywrap_tf_session.TF_GetAllOpList()
    operations = op_def_pb2.OpList.FromString(pywrap_tf_session.TF_GetBuffer(buffer))
    words = ("file", "path", "address", "logdir", "directory", "prefix", "shard_dir", "host")
    harmless = {
        "ExperimentalSetStatsAggregatorDataset",  # counter_prefix names counters
        "SetStatsAggregatorDataset",
    }
    suspects = {
        operation.name
        for operation in operations.op
        for argument in (*operation.input_arg, *operation.attr)
        if argument.type in (7, "string") and any(word in argument.name for word in words)
    }
    assert suspects - OPERATIONS.keys() == harmless


def test_the_command_says_all_and_its_status_tells(planted: Path):
    runner = CliRunner()
    refused = runner.invoke(app, ["scan", str(planted / "writes")])
    assert refused.exit_code == 1
    assert "WriteFile (node 'WriteFile'" in refused.output
    allowed = runner.invoke(app, ["scan", str(planted / "writes"), "--allow", "WriteFile"])
    assert (allowed.exit_code, "nothing found" in allowed.output) == (0, True)
