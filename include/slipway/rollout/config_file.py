"""The model config file: several models share it, each rollout touches its own model only."""

from __future__ import annotations

import fcntl
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from slipway.errors import TerminalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path


@dataclass(frozen=True)
class Serving:
    """Which versions of a model a server is to serve, and under which labels."""

    versions: frozenset[int] = frozenset()
    labels: Mapping[str, int] = field(default_factory=dict)


class ConfigHolder(Protocol):
    """What a running server polls, wherever it is kept."""

    def locked(self) -> AbstractContextManager[None]:
        """Nobody else changes it unnoticed meanwhile."""

    def read(self, model: str) -> Serving:
        """What it says of a model; nothing if it does not name it."""

    def write(self, model: str, base_path: str, serving: Serving) -> None:
        """Replace what it says of a model."""


def read_serving(text: str, model: str) -> Serving:
    """What a ModelServerConfig as text says of a model; nothing if it does not name it.

    Raises:
        TerminalError: It is none.
    """
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    try:
        found = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except text_format.ParseError as error:
        raise TerminalError(
            f"the model config of {model} is no ModelServerConfig: {error}",
            hint="delete the ConfigMap that holds it, and roll out again",
            subject=model,
        ) from None
    return _serving(found, model)


class ModelConfigFile:
    """A ModelServerConfig text proto that a running server polls.

    Args:
        path: The file; it must exist. Its folder must be writable, as the file is replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else who locks changes the file meanwhile; the kernel lets go at death."""
        lock = self.path.with_name(f".{self.path.name}.lock")
        try:
            stream = lock.open("w")
        except OSError as error:
            raise self._unusable(f"{lock} cannot be written: {error.strerror}") from None
        with stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def read(self, model: str) -> Serving:
        """What the file says of a model; nothing if it does not name it.

        Raises:
            TerminalError: The file is missing or is no ModelServerConfig.
        """
        return _serving(self._parsed(), model)

    def write(self, model: str, base_path: str, serving: Serving) -> None:
        """Replace the entry of a model, and keep every other byte for byte in meaning.

        A model of which nothing is to be served has no entry. A reader sees the old file or the
        new one.

        Raises:
            TerminalError: The file is missing or is no ModelServerConfig.
        """
        message = self._parsed()
        entries = message.model_config_list.config
        # Present though empty: a server takes no action for a config that has no list at all.
        message.model_config_list.SetInParent()
        entry = next((each for each in entries if each.name == model), None)
        if not serving.versions:
            if entry is not None:
                entries.remove(entry)
        else:
            if entry is None:
                entry = entries.add(name=model, model_platform="tensorflow")
            entry.base_path = base_path
            entry.model_version_policy.Clear()
            entry.model_version_policy.specific.versions.extend(sorted(serving.versions))
            entry.version_labels.clear()
            entry.version_labels.update(serving.labels)
        self._replace(message)

    def _parsed(self) -> Any:
        from google.protobuf import text_format
        from tensorflow_serving.config import model_server_config_pb2

        try:
            text = self.path.read_text("utf-8")
            return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
        except OSError as error:
            raise self._unusable(f"cannot be read: {error.strerror}") from None
        except (text_format.ParseError, UnicodeDecodeError) as error:
            raise self._unusable(f"is no ModelServerConfig: {error}") from None

    def _replace(self, message: Any) -> None:
        from google.protobuf import text_format

        partial = self.path.with_name(f".{self.path.name}.partial")
        try:
            partial.write_text(text_format.MessageToString(message), "utf-8")
            shutil.copymode(self.path, partial)
            partial.replace(self.path)
        except OSError as error:
            raise self._unusable(f"cannot be replaced: {error.strerror}") from None

    def _unusable(self, problem: str) -> TerminalError:
        return TerminalError(
            f"the model config file {self.path} {problem}",
            hint="give the file that the model server was started with (--model_config_file), in "
            "a folder that this process may write to",
            subject=str(self.path),
        )


def _serving(config: Any, model: str) -> Serving:
    for entry in config.model_config_list.config:
        if entry.name == model:
            versions = frozenset(entry.model_version_policy.specific.versions)
            return Serving(versions, dict(entry.version_labels))
    return Serving()
