"""Open a TFLite file with the interpreter that has its operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

# How an interpreter says that a file has operations of TensorFlow's own.
_SELECTED = "Select TensorFlow op"
_FLEX = "Flex"


class MissingOperationsError(RuntimeError):
    """A file has operations of TensorFlow's own, and nothing here links them."""


def open_interpreter(file: Path, threads: int) -> Any:
    """An interpreter of the file, its tensors allocated.

    LiteRT's, or TensorFlow's own where the file has operations of TensorFlow itself: the package
    tensorflow links them up to 2.19; tensorflow-cpu does not, nor does any later release (seen with
    2.19.1, 2.20.0 and 2.21.0).

    Args:
        file: The TFLite file.
        threads: Of one call.

    Raises:
        ValueError: It is no TFLite file.
        MissingOperationsError: Neither has the operations of TensorFlow itself.
        RuntimeError: It uses other operations that LiteRT does not have.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(file), num_threads=threads)
    try:
        # Tensors of an operator that is missing are refused here, at load, not at a request.
        interpreter.allocate_tensors()
    except RuntimeError as error:
        if _SELECTED not in str(error):
            raise
        return _tensorflows(file, threads)
    return _tensorflows(file, threads) if _lacks(interpreter) else interpreter


def _lacks(interpreter: Any) -> bool:
    """Whether operations of TensorFlow's own are left that nothing has taken over.

    Behind an operation whose sizes are known at a request only, they are refused only then.
    """
    operations = interpreter._get_ops_details()  # noqa: SLF001  # there is no public name for it
    return any(str(each["op_name"]).startswith(_FLEX) for each in operations)


def _tensorflows(file: Path, threads: int) -> Any:
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(model_path=str(file), num_threads=threads)
    try:
        interpreter.allocate_tensors()
    except RuntimeError as error:
        raise _missing(tf.__version__) from error
    if _lacks(interpreter):
        raise _missing(tf.__version__)
    return interpreter


def _missing(version: str) -> MissingOperationsError:
    return MissingOperationsError(
        "it has operations of TensorFlow itself (select_tf_ops), which neither LiteRT nor "
        f"TensorFlow {version} links; TensorFlow Serving does, and TensorFlow up to 2.19"
    )
