"""All models of a server: their configuration, labels and polling."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.errors import SlipwayError, TerminalError
from slipway.serving.server.config import initial_models, parse_model_config
from slipway.serving.server.loaders import Loader
from slipway.serving.server.sources import open_source
from slipway.serving.server.status import StatusError
from slipway.serving.server.versions import ModelVersions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from slipway.serving.server.config import ModelConfig
    from slipway.serving.server.flags import ServerFlags
    from slipway.serving.server.metrics import Metrics
    from slipway.serving.server.sources import VersionSource

_log = logging.getLogger(__name__)

# A poll of a bucket that does not answer must not keep the server from stopping.
_JOIN_SECONDS = 5.0


@dataclass
class _Model:
    config: ModelConfig
    versions: ModelVersions
    poll: Poll


class Core:
    """The models that are served.

    Args:
        flags: Names the models and how often to look for changes.
        metrics: Counts loads.
        cache_root: Where versions from buckets are kept.

    Raises:
        TerminalError: The configuration is wrong, or assigns a label that it may not.
    """

    def __init__(self, flags: ServerFlags, metrics: Metrics, cache_root: Path) -> None:
        self._flags = flags
        self._cache_root = cache_root
        self._loader = Loader(flags, metrics)
        self._lock = threading.Lock()
        self._models: dict[str, _Model] = {}
        self._sources: dict[str, VersionSource] = {}
        self._labels: Mapping[str, Mapping[str, int]] = {}
        self._config_text = ""
        self.apply(initial_models(flags))
        wait = flags.model_config_file_poll_wait_seconds if flags.model_config_file else -1
        self._config_poll = Poll("config", self._reload, wait if wait > 0 else -1)

    def find(self, model: str) -> ModelVersions | None:
        """The versions of a model; None where there is no such model."""
        found = self._models.get(model)
        return found.versions if found else None

    def labelled(self, model: str, label: str) -> int:
        """The version that a label points to.

        Raises:
            StatusError: INVALID_ARGUMENT, the model has no such label.
        """
        number = self._labels.get(model, {}).get(label)
        if number is None:
            raise StatusError("INVALID_ARGUMENT", f"Unrecognized servable version label: {label}")
        return number

    def apply(self, configs: Sequence[ModelConfig]) -> None:
        """Makes this the configuration; where it is refused, the old one stays as it is.

        Raises:
            TerminalError: A model changes its platform, a label points to a version that is not
                available and may not do so, or a base path is unknown.
        """
        with self._lock:
            self._check_platforms(configs)
            labels = {config.name: self._checked_labels(config) for config in configs}
            self._sources |= {path: self._source(path) for path in {c.base_path for c in configs}}
            # Nothing below this line fails: a refused configuration changes nothing.
            opened = {config.name: self._opened(config) for config in configs}
            retired = [model for name, model in self._models.items() if name not in opened]
            self._models = opened
            self._labels = labels
        for model in retired:
            threading.Thread(target=_retire, args=(model,), name="retire", daemon=True).start()

    def close(self) -> None:
        """Stops polling and unloads every model."""
        self._config_poll.close()
        with self._lock:
            models, self._models = list(self._models.values()), {}
        for model in models:
            _retire(model)

    def _source(self, base_path: str) -> VersionSource:
        # One a base path, however many models follow it: they share its downloads.
        return self._sources.get(base_path) or open_source(base_path, self._cache_root)

    def _opened(self, config: ModelConfig) -> _Model:
        source = self._sources[config.base_path]
        old = self._models.get(config.name)
        if old is not None:
            old.versions.follow(source, config.policy)
            model = _Model(config, old.versions, old.poll)
        else:
            _log.info("Adding model %s from %s", config.name, config.base_path)
            versions = ModelVersions(config.name, source, config.policy, self._loader, self._flags)
            poll = Poll(config.name, versions.refresh, self._flags.file_system_poll_wait_seconds)
            model = _Model(config, versions, poll)
        if self._flags.file_system_poll_wait_seconds >= 0:
            model.poll.soon()
        return model

    def _checked_labels(self, config: ModelConfig) -> Mapping[str, int]:
        model = self._models.get(config.name)
        available = model.versions.available() if model else frozenset()
        old = self._labels.get(config.name, {})
        for label, number in config.labels.items():
            free = self._flags.allow_version_labels_for_unavailable_models and (
                old.get(label, number) == number
            )
            if number not in available and not free:
                raise TerminalError(
                    f"FAILED_PRECONDITION: Request to assign label to version {number} of model "
                    f"{config.name}, which is not currently available for inference.",
                    hint=f"Serve the version first and label it {label} once its state is "
                    "AVAILABLE; for new labels alone, "
                    "--allow_version_labels_for_unavailable_models lifts this.",
                    subject=label,
                )
        return dict(config.labels)

    def _check_platforms(self, configs: Sequence[ModelConfig]) -> None:
        for config in configs:
            old = self._models.get(config.name)
            if old is not None and old.config.platform != config.platform:
                raise TerminalError(
                    f"Illegal to change a model's platform. For model {config.name} platform was "
                    f"{old.config.platform} and new platform requested is {config.platform}.",
                    hint="Serve it under another name.",
                    subject=config.name,
                )

    def _reload(self) -> None:
        file = self._flags.model_config_file
        try:
            text = Path(file).read_text(encoding="utf-8")
            if text == self._config_text:
                return
            self.apply(parse_model_config(text, file))
        except (OSError, UnicodeDecodeError, SlipwayError) as error:
            # The next poll tries again: a label is refused only until its version is available.
            _log.error("Config file %s: the old configuration stays: %s", file, error)
            return
        self._config_text = text
        _log.info("Config file %s: applied", file)


class Poll:
    """Calls an action now and then, on a thread of its own.

    Args:
        name: Of the thread.
        action: What to call.
        every_seconds: Between two calls; 0 and less mean only when `soon` asks for one.
    """

    def __init__(self, name: str, action: Callable[[], None], every_seconds: int) -> None:
        self._action = action
        self._every = every_seconds if every_seconds > 0 else None
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"poll-{name}", daemon=True)
        self._thread.start()

    def soon(self) -> None:
        """Asks for a call now."""
        self._wake.set()

    def close(self) -> None:
        """Ends the thread; a call that is under way is waited for, but not for ever."""
        self._closed = True
        self._wake.set()
        self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(self._every)
            self._wake.clear()
            if not self._closed:
                self._act()

    def _act(self) -> None:
        try:
            self._action()
        except Exception:  # noqa: BLE001 - a poll that fails in an unforeseen way is not the last
            _log.exception("%s failed", self._thread.name)


def _retire(model: _Model) -> None:
    model.poll.close()
    model.versions.close()
