"""What a cluster needs of the host alone for itself: a number, hence names and addresses."""

from __future__ import annotations

import shutil
import socket
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slipway.errors import TerminalError
from support.kubernetes.machine import remove_cgroups
from support.kubernetes.places import cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SLOTS = range(16)
_FIRST_NETWORK = 208  # 10.208.0.0/16 and on


@dataclass(frozen=True)
class Slot:
    """One of the numbers.

    Attributes:
        number: Which.
    """

    number: int

    @property
    def name(self) -> str:
        """Of the cluster's cgroups, its folder, its interface on the host and its node."""
        return f"slipway-{self.number}"

    @property
    def folder(self) -> Path:
        """For the cluster's files while it runs."""
        return cache_folder() / "running" / self.name

    @property
    def logs(self) -> Path:
        """Of the cluster's components; they stay until the next one of that number starts."""
        return cache_folder() / "logs" / self.name

    @property
    def network(self) -> str:
        """All addresses of the cluster."""
        return f"{self._prefix}.0.0/16"

    @property
    def host(self) -> str:
        """The host's address in it."""
        return f"{self._prefix}.0.1"

    @property
    def node(self) -> str:
        """The node's address in it."""
        return f"{self._prefix}.0.2"

    @property
    def services(self) -> str:
        """Addresses of Services."""
        return f"{self._prefix}.64.0/18"

    @property
    def api_service(self) -> str:
        """The address of the API server within the cluster."""
        return f"{self._prefix}.64.1"

    @property
    def pods(self) -> str:
        """Addresses of pods."""
        return f"{self._prefix}.128.0/17"

    @property
    def _prefix(self) -> str:
        return f"10.{_FIRST_NETWORK + self.number}"

    def sweep(self) -> None:
        """Removes what a killed cluster left; its processes and mounts are gone by themselves.

        Raises:
            TransientError: Its processes do not end.
        """
        remove_cgroups(self.name)
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def taken(self) -> bool:
        """Whether the host has a route to some of these addresses already."""
        routes = subprocess.run(
            ["ip", "route", "show", "root", self.network],
            capture_output=True,
            text=True,
            check=False,
        )
        return bool(routes.stdout.strip())


@contextmanager
def free_slot() -> Iterator[Slot]:
    """Takes a number for as long as the block runs, and sweeps up after clusters that are gone.

    Raises:
        TerminalError: All are taken.
    """
    for slot in map(Slot, _SLOTS):
        held = _hold(slot)
        if held is None:
            continue
        with held:
            slot.sweep()
            if not slot.taken():
                yield slot
                return
    raise TerminalError(
        f"{len(_SLOTS)} clusters for tests run on this machine, or other networks have their "
        "addresses",
        hint="end some of the test runs",
        subject="10.0.0.0/8",
    )


def _hold(slot: Slot) -> socket.socket | None:
    # A name of the host's network, as what it guards is; it goes with the process that holds it.
    held = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        held.bind(f"\0slipway-test-cluster-{slot.number}")
    except OSError:
        held.close()
        return None
    return held
