"""The versions of one model: which are wanted, which are loaded, who is using them.

A version goes START -> LOADING -> AVAILABLE -> UNLOADING -> END; a failed one goes from LOADING to
END and keeps its error. It stays there until it is no longer wanted and then wanted again. A
version that is no longer wanted goes on serving until a wanted one is available, if any is wanted.
Source: AspiredVersionsManager and AvailabilityPreservingPolicy of TensorFlow Serving.
"""

from __future__ import annotations

import enum
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slipway.errors import SlipwayError
from slipway.serving.server.status import StatusError, as_status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slipway.serving.server.config import VersionPolicy
    from slipway.serving.server.flags import ServerFlags
    from slipway.serving.server.loaders import Loader
    from slipway.serving.server.signatures import Servable
    from slipway.serving.server.sources import VersionSource

_log = logging.getLogger(__name__)


class State(enum.Enum):
    """ModelVersionStatus.State of TensorFlow Serving."""

    START = "START"
    LOADING = "LOADING"
    AVAILABLE = "AVAILABLE"
    UNLOADING = "UNLOADING"
    END = "END"


@dataclass
class _Version:
    number: int
    source: VersionSource
    state: State = State.START
    wanted: bool = True
    error: StatusError | None = None
    servable: Servable | None = None
    requests: int = 0
    unwanted: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class VersionStatus:
    """What the status endpoint says of a version; ``error`` is None while all is well."""

    number: int
    state: State
    error: StatusError | None


class ModelVersions:
    """Keeps the wanted versions of one model loaded. All methods may be called by any thread.

    Args:
        name: The model's name, for messages.
        source: Where its versions come from.
        policy: Which of them are wanted.
        loader: Brings a folder into memory.
        flags: Retries and load threads.
    """

    def __init__(
        self,
        name: str,
        source: VersionSource,
        policy: VersionPolicy,
        loader: Loader,
        flags: ServerFlags,
    ) -> None:
        self.name = name
        self._source = source
        self._policy = policy
        self._loader = loader
        self._retries = flags.max_num_load_retries
        self._retry_seconds = max(0, flags.load_retry_interval_micros) / 1e6
        self._changed = threading.Condition()
        self._versions: dict[int, _Version] = {}
        self._wanted: frozenset[int] = frozenset()
        self._last_problem = ""
        self._loads = ThreadPoolExecutor(max(1, flags.num_load_threads), f"load-{name}")
        self._unloads = ThreadPoolExecutor(1, f"unload-{name}")

    def follow(self, source: VersionSource, policy: VersionPolicy) -> None:
        """Takes another source and policy from the next `refresh` on.

        As in TensorFlow Serving, a version that is loaded is not loaded again from there.
        """
        with self._changed:
            self._source, self._policy = source, policy

    def refresh(self) -> None:
        """Looks at the source and starts what follows from it. Loads happen on other threads."""
        try:
            existing = self._source.versions()
        except (OSError, SlipwayError) as error:
            self._report("unlisted", f"cannot list versions, nothing changes: {error}")
            return
        wanted = self._policy.choose(existing)
        missing = sorted(self._policy.versions - existing)
        if missing:
            self._report(f"missing {missing}", f"versions {missing} are asked for and not there")
        elif not wanted:
            self._report("empty", "there is no version under the base path")
        else:
            self._report("", "every wanted version is there")
        self.want(wanted)

    def want(self, numbers: frozenset[int]) -> None:
        """Sets which versions are to be served."""
        with self._changed:
            self._wanted = numbers
            for version in self._versions.values():
                if version.number not in numbers and version.wanted:
                    version.wanted = False
                    version.unwanted.set()
            self._advance()

    @contextmanager
    def lend(self, number: int | None) -> Iterator[tuple[int, Servable]]:
        """Lends a version to one request; it is not unloaded before the request ends.

        Args:
            number: Which, or None for the highest that is available.

        Yields:
            The version's number, and the version.

        Raises:
            StatusError: NOT_FOUND, it is not available.
        """
        version = self._borrow(number)
        try:
            yield version.number, version.servable  # type: ignore[misc]  # an available version has one
        finally:
            with self._changed:
                version.requests -= 1
                if not version.requests:
                    self._changed.notify_all()

    def statuses(self) -> list[VersionStatus]:
        """Every version ever wanted, the highest first."""
        with self._changed:
            found = sorted(self._versions.values(), key=lambda version: -version.number)
            return [VersionStatus(v.number, v.state, v.error) for v in found]

    def available(self) -> frozenset[int]:
        """The versions that answer requests now."""
        with self._changed:
            return frozenset(v.number for v in self._versions.values() if _serves(v))

    @property
    def idle(self) -> bool:
        """Whether every version has come to its end."""
        with self._changed:
            return all(v.state is State.END for v in self._versions.values())

    def close(self) -> None:
        """Unloads everything, waiting for requests and for a load that is under way."""
        self.want(frozenset())
        self._loads.shutdown(wait=True)
        with self._changed:
            self._changed.wait_for(lambda: self.idle)
        self._unloads.shutdown(wait=True)

    def _borrow(self, number: int | None) -> _Version:
        with self._changed:
            serving = [v for v in self._versions.values() if _serves(v)]
            asked = [v for v in serving if number in (None, v.number)]
            found = max(asked, key=lambda version: version.number, default=None)
            if found is None:
                raise not_found(self.name, number)
            found.requests += 1
            return found

    def _advance(self) -> None:
        """Starts every load and unload that is due. The lock is held."""
        for number in sorted(self._wanted, reverse=True):
            self._begin(number)
        wanted_serves = any(v.wanted and _serves(v) for v in self._versions.values())
        for version in self._versions.values():
            if version.wanted:
                continue
            if version.state is State.START:
                self._enter(version, State.END)
            elif _serves(version) and (wanted_serves or not self._wanted):
                self._enter(version, State.UNLOADING)
                self._unloads.submit(self._unload, version)

    def _begin(self, number: int) -> None:
        version = self._versions.get(number)
        if version is not None and _serves(version):
            version.wanted = True
            version.unwanted.clear()
        elif version is None or (version.state is State.END and not version.wanted):
            version = self._versions[number] = _Version(number, self._source)
            self._enter(version, State.START)
            self._loads.submit(self._load, version)

    def _load(self, version: _Version) -> None:
        with self._changed:
            if version.state is not State.START:
                return
            self._enter(version, State.LOADING)
        servable, error = self._attempt_all(version)
        if servable is not None and version.unwanted.is_set():
            servable.close()
            version.source.release(version.number)
            servable = None
        with self._changed:
            version.servable = servable
            version.error = error
            self._enter(version, State.END if servable is None else State.AVAILABLE)
            self._advance()

    def _attempt_all(self, version: _Version) -> tuple[Servable | None, StatusError | None]:
        attempts, error = 1 + max(0, self._retries), None
        for attempt in range(1, attempts + 1):
            if version.unwanted.is_set():
                break
            try:
                return self._attempt(version), None
            except Exception as problem:  # noqa: BLE001 - whatever a model raises is its status
                error = as_status(problem)
            _log.error(
                "Loading %s %d failed (%d of %d): %s",
                *(self.name, version.number, attempt, attempts, error),
            )
            if attempt < attempts:
                version.unwanted.wait(self._retry_seconds)
        return None, error

    def _attempt(self, version: _Version) -> Servable:
        folder = version.source.fetch(version.number)
        try:
            return self._loader.load(folder)
        except BaseException:
            version.source.release(version.number)
            raise

    def _unload(self, version: _Version) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not version.requests)
            servable, version.servable = version.servable, None
        if servable is not None:
            servable.close()
        version.source.release(version.number)
        with self._changed:
            self._enter(version, State.END)
            self._advance()

    def _enter(self, version: _Version, state: State) -> None:
        version.state = state
        _log.info("%s %d: %s", self.name, version.number, state.value)
        self._changed.notify_all()

    def _report(self, problem: str, text: str) -> None:
        # Every poll would say it again: only what is new, or over, is logged.
        if problem != self._last_problem:
            _log.log(logging.WARNING if problem else logging.INFO, "%s: %s", self.name, text)
        self._last_problem = problem


def not_found(model: str, number: int | None) -> StatusError:
    """The answer to a request for a model or version that is not available."""
    asked = f"Latest({model})" if number is None else f"Specific({model}, {number})"
    return StatusError("NOT_FOUND", f"Servable not found for request: {asked}")


def _serves(version: _Version) -> bool:
    return version.state is State.AVAILABLE
