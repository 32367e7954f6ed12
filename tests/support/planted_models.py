"""Real SavedModels, made by TensorFlow, in which something is planted.

`python -m support.planted_models FOLDER` makes all of them, each in a folder of its name: in a
process of its own, since TensorFlow is chosen with Keras 2 before its first import.
"""

from __future__ import annotations

import os
import sys
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
    "caches_in_file": "CacheDataset",
    "reads_rows": "TextLineDataset",
    "asks_service": "DataServiceDatasetV4",
    "table_from_anywhere": "InitializeTableFromTextFileV2",
    "reads_what_is_asked": "ReadFile",
}
"""What each planted model is refused for."""


def make_all(folder: Path) -> None:
    """Make every planted model, and the clean ones."""
    import tensorflow as tf

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocabulary.txt").write_text("a\nb\n")
    for name, function in _bodies(tf, folder).items():
        _save(tf, folder / name, function)
    _save_vocabulary(tf, folder / "vocabulary.txt", folder / "clean_vocabulary")
    _save_old_vocabulary(tf, folder / "vocabulary.txt", folder / "clean_old_vocabulary")
    _save_lambda(folder / "lambda")
    _save(tf, folder / "clean", lambda x: tf.cast(tf.strings.length(tf.as_string(x)), tf.float32))


def _bodies(tf: Any, folder: Path) -> dict[str, Any]:
    secret = str(folder / "secret.txt")

    def then(x: Any, *before: Any) -> Any:
        with tf.control_dependencies([each for each in before if each is not None]):
            return tf.identity(x)

    @tf.function
    def inner(x: Any) -> Any:
        return then(x, tf.io.write_file(secret, "planted"))

    @tf.function
    def outer(x: Any) -> Any:
        return inner(x) + 1.0

    def in_loop(x: Any) -> Any:
        def body(i: Any, y: Any) -> Any:
            found = tf.cast(tf.strings.length(tf.io.read_file(secret)), tf.float32)
            return i + 1, y + found

        return tf.while_loop(lambda i, _: i < 2, body, [0, x])[1]

    def over(dataset: Any, x: Any) -> Any:
        return x + dataset.reduce(
            0.0, lambda total, text: total + tf.cast(tf.strings.length(text), tf.float32)
        )

    def cached(x: Any) -> Any:
        return over(tf.data.Dataset.from_tensors("a").cache(secret), x)

    def summary(x: Any) -> Any:
        return then(
            x,
            tf.raw_ops.CreateSummaryFileWriter(
                writer=tf.raw_ops.SummaryWriter(),
                logdir=secret,
                max_queue=1,
                flush_millis=1,
                filename_suffix="",
            ),
        )

    def service(x: Any) -> Any:
        dataset = tf.data.Dataset.from_tensors("a").apply(
            tf.data.experimental.service.distribute("parallel_epochs", "grpc://127.0.0.1:1")
        )
        return over(dataset, x)

    def table(x: Any) -> Any:
        handle = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)
        made = tf.raw_ops.InitializeTableFromTextFileV2(
            table_handle=handle, filename=secret, key_index=-2, value_index=-1
        )
        return then(x, made)

    mapped = lambda x: over(tf.data.Dataset.from_tensors(secret).map(tf.io.read_file), x)  # noqa: E731
    return {
        "writes": lambda x: then(x, tf.io.write_file(secret, "planted")),
        "reads": lambda x: then(x, tf.io.read_file(secret)),
        "calls_python": lambda x: tf.py_function(lambda v: v, [x], tf.float32),
        "calls_numpy": lambda x: tf.numpy_function(lambda v: v, [x], tf.float32),
        "writes_in_nested_function": outer,
        "reads_in_loop": in_loop,
        "reads_in_dataset_map": mapped,
        "lists_files": lambda x: then(x, tf.io.matching_files("/*")),
        "prints_to_file": lambda x: then(x, tf.print("x", output_stream=f"file://{secret}")),
        "restores_elsewhere": lambda x: then(
            x,
            *tf.raw_ops.RestoreV2(
                prefix=secret, tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32]
            ),
        ),
        "saves_elsewhere": lambda x: then(
            x,
            tf.raw_ops.SaveV2(
                prefix=secret, tensor_names=["a"], shape_and_slices=[""], tensors=[x]
            ),
        ),
        "summary": summary,
        "caches_in_file": cached,
        "reads_rows": lambda x: over(tf.data.TextLineDataset(secret), x),
        "asks_service": service,
        "table_from_anywhere": table,
        "reads_what_is_asked": lambda x: then(x, tf.io.read_file(tf.as_string(x[0]))),
    }


def _save(tf: Any, folder: Path, function: Any) -> None:
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


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    make_all(Path(sys.argv[1]))
