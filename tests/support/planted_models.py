"""Real SavedModels, made by TensorFlow, in which something is planted.

`plant` makes all of them, or those that are named, each in a folder of its name: in a process of
its own, since TensorFlow is chosen with Keras 2 before its first import.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

PLANTED = {
    "writes": "WriteFile",
    "reads": "ReadFile",
    "calls_python": "EagerPyFunc",
    "calls_numpy": "PyFunc",
    "writes_in_nested_function": "WriteFile",
    "reads_in_loop": "ReadFile",
    "reads_in_dataset_map": "ReadFile",
    "lists_files": "MatchingFiles",
    "prints_to_file": "PrintV2",
    "restores_elsewhere": "RestoreV2",
    "saves_elsewhere": "SaveV2",
    "summary": "CreateSummaryFileWriter",
    "caches_in_file": "CacheDatasetV2",
    "reads_rows": "TextLineDataset",
    "asks_service": "DataServiceDatasetV4",
    "table_from_anywhere": "InitializeTableFromTextFileV2",
    "reads_what_is_asked": "ReadFile",
}
"""What each planted model is refused for."""


def plant(folder: Path, *names: str) -> None:
    """Make the planted models and the clean ones, or only some, in a process of their own."""
    command = [sys.executable, "-m", "support.planted_models", str(folder), *names]
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_USE_LEGACY_KERAS": "1",
    }
    made = subprocess.run(
        command, check=False, env=environment, capture_output=True, text=True, timeout=300
    )
    assert made.returncode == 0, made.stderr[-2000:]


def _make(folder: Path, names: list[str]) -> None:
    import tensorflow as tf

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = folder / "vocabulary.txt"
    vocabulary.write_text("a\nb\n")
    secret = str(folder / "secret.txt")
    bodies = {"clean": lambda x: x + 1.0, **_nodes(tf, secret), **_nested(tf, secret)}
    makers = {
        name: partial(_save, tf, function=function)
        for name, function in (bodies | _datasets(tf, secret)).items()
    }
    makers["clean_vocabulary"] = partial(_save_vocabulary, tf, vocabulary)
    makers["clean_old_vocabulary"] = partial(_save_old_vocabulary, tf, vocabulary)
    makers["lambda"] = _save_lambda
    makers["clean_functions"] = partial(_save_functions, tf)
    for name in names or makers:
        makers[name](folder / name)


def _then(tf: Any, x: Any, *before: Any) -> Any:
    """What is asked for, once the others ran."""
    with tf.control_dependencies([each for each in before if each is not None]):
        return tf.identity(x)


def _nodes(tf: Any, secret: str) -> dict[str, Any]:
    """Operations that stand in the function of the signature itself."""

    def summary(x: Any) -> Any:
        made = tf.raw_ops.CreateSummaryFileWriter(
            writer=tf.raw_ops.SummaryWriter(),
            logdir=secret,
            max_queue=1,
            flush_millis=1,
            filename_suffix="",
        )
        return _then(tf, x, made)

    def table(x: Any) -> Any:
        handle = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)
        made = tf.raw_ops.InitializeTableFromTextFileV2(
            table_handle=handle, filename=secret, key_index=-2, value_index=-1
        )
        return _then(tf, x, made)

    def restore(x: Any) -> Any:
        slices = {"tensor_names": ["a"], "shape_and_slices": [""]}
        return _then(tf, x, *tf.raw_ops.RestoreV2(prefix=secret, dtypes=[tf.float32], **slices))

    def save(x: Any) -> Any:
        slices = {"tensor_names": ["a"], "shape_and_slices": [""]}
        return _then(tf, x, tf.raw_ops.SaveV2(prefix=secret, tensors=[x], **slices))

    return {
        "writes": lambda x: _then(tf, x, tf.io.write_file(secret, "planted")),
        "reads": lambda x: _then(tf, x, tf.io.read_file(secret)),
        "reads_what_is_asked": lambda x: _then(tf, x, tf.io.read_file(tf.as_string(x[0]))),
        "calls_python": lambda x: tf.py_function(lambda v: v, [x], tf.float32),
        "calls_numpy": lambda x: tf.numpy_function(lambda v: v, [x], tf.float32),
        "lists_files": lambda x: _then(tf, x, tf.io.matching_files("/*")),
        "prints_to_file": lambda x: _then(tf, x, tf.print("x", output_stream=f"file://{secret}")),
        "restores_elsewhere": restore,
        "saves_elsewhere": save,
        "summary": summary,
        "table_from_anywhere": table,
    }


def _nested(tf: Any, secret: str) -> dict[str, Any]:
    """Operations in functions that other functions call."""

    @tf.function
    def inner(x: Any) -> Any:
        return _then(tf, x, tf.io.write_file(secret, "planted"))

    @tf.function
    def outer(x: Any) -> Any:
        return inner(x) + 1.0

    def body(i: Any, y: Any) -> Any:
        return i + 1, y + tf.cast(tf.strings.length(tf.io.read_file(secret)), tf.float32)

    return {
        "writes_in_nested_function": outer,
        "reads_in_loop": lambda x: tf.while_loop(lambda i, _: i < 2, body, [0, x])[1],
    }


def _datasets(tf: Any, secret: str) -> dict[str, Any]:
    """Operations of tf.data, and in what it maps."""
    data = tf.data.Dataset
    service = tf.data.experimental.service

    def total(dataset: Any, x: Any) -> Any:
        lengths = dataset.map(lambda text: tf.cast(tf.strings.length(text), tf.float32))
        return x + lengths.reduce(0.0, lambda one, other: one + other)

    def asked(x: Any) -> Any:
        away = service.distribute("parallel_epochs", "grpc://127.0.0.1:1")
        return total(data.from_tensors("a").apply(away), x)

    return {
        "reads_in_dataset_map": lambda x: total(data.from_tensors(secret).map(tf.io.read_file), x),
        "caches_in_file": lambda x: total(data.from_tensors("a").cache(secret), x),
        "reads_rows": lambda x: total(tf.data.TextLineDataset(secret), x),
        "asks_service": asked,
    }


def _save(tf: Any, folder: Path, *, function: Any) -> None:
    module = tf.Module()
    module.scale = tf.Variable(2.0)
    signature = [tf.TensorSpec([None], tf.float32, name="x")]
    module.call = tf.function(
        lambda x: {"y": function(x) * module.scale}, input_signature=signature
    )
    tf.saved_model.save(module, str(folder), signatures=module.call)


def _save_vocabulary(tf: Any, file: Path, folder: Path) -> None:
    module = tf.Module()
    module.scale = tf.Variable(2.0)
    initializer = tf.lookup.TextFileInitializer(
        str(file),
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    module.table = tf.lookup.StaticHashTable(initializer, -1)
    signature = [tf.TensorSpec([None], tf.string, name="x")]
    module.call = tf.function(
        lambda x: {"y": tf.cast(module.table.lookup(x), tf.float32) * module.scale},
        input_signature=signature,
    )
    tf.saved_model.save(module, str(folder), signatures=module.call)


def _save_old_vocabulary(tf: Any, file: Path, folder: Path) -> None:
    """As TensorFlow 1 writes it: a graph with a saver, and an asset that is a constant."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        text = v1.placeholder(tf.string, [None], "x")
        initializer = tf.lookup.TextFileInitializer(
            str(file),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        table = tf.lookup.StaticHashTable(initializer, -1)
        scale = v1.get_variable("scale", initializer=2.0, use_resource=True)
        answer = tf.cast(table.lookup(text), tf.float32) * scale
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        builder = v1.saved_model.Builder(str(folder))
        described = v1.saved_model.predict_signature_def({"x": text}, {"y": answer})
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {"serving_default": described},
            main_op=v1.tables_initializer(),
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
        )
        builder.save()


def _save_lambda(folder: Path) -> None:
    import tf_keras

    model = tf_keras.Sequential(
        [
            tf_keras.layers.Input([1], name="x"),
            tf_keras.layers.Lambda(lambda x: x * 2, name="doubled"),
        ]
    )
    model.save(folder)


def _save_functions(tf: Any, folder: Path) -> None:
    """A functional model of Keras 2 with functions of TensorFlow as layers."""
    import tf_keras

    x = tf_keras.Input([4], name="x")
    y = tf.nn.relu(tf.concat([x * 2.0, tf.math.exp(x)], axis=-1))[:, 1:]
    tf_keras.Model(x, tf.reshape(y, [-1, 7])).save(folder)


if __name__ == "__main__":
    _make(Path(sys.argv[1]), sys.argv[2:])
