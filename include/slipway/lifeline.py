"""No step outlives the process that started it, nor does anything that the step started."""

from __future__ import annotations

import os
import select
import signal
import sys
from contextlib import suppress

PARENT_VARIABLE = "SLIPWAY_PARENT_PID"


def end_with_parent() -> None:
    """Tie the process group of this process to the life of this process and of its parent.

    A guard, a fork of this process, waits until either ends, and then kills what is left of the
    group. Call it first thing, before there are threads, in a process that leads its group;
    elsewhere it does nothing.

    Raises:
        SystemExit: if the parent that $SLIPWAY_PARENT_PID names is gone already.
    """
    step = os.getpid()
    try:
        lives = [os.pidfd_open(int(os.environ.get(PARENT_VARIABLE) or os.getppid()))]
    except ProcessLookupError:
        sys.exit("the process that started this step is gone")
    if os.getpgrp() != step or os.fork():
        return
    try:
        _let_go_of_streams()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with suppress(ProcessLookupError):
            lives.append(os.pidfd_open(step))
            select.select(lives, [], [])
    finally:
        os.killpg(step, signal.SIGKILL)


def _let_go_of_streams() -> None:
    """Whoever reads the step's output must see its end when the step ends."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
