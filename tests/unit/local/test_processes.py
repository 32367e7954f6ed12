from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from slipway.errors import TerminalError, TransientError
from slipway.local.processes import ProcessTable, Service, answers, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def table(tmp_path: Path) -> Iterator[ProcessTable]:
    table = ProcessTable(tmp_path)
    yield table
    table.stop_all()


def web_server(port: int) -> Service:
    url = f"http://127.0.0.1:{port}/"
    command = (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port))
    return Service("web", command, lambda: answers(url))


def test_a_started_server_answers_and_is_found_again_by_another_table(
    table: ProcessTable, tmp_path: Path
) -> None:
    process = table.start(web_server(free_port()))
    assert ProcessTable(tmp_path).find("web") == process


def test_starting_twice_starts_once(table: ProcessTable) -> None:
    service = web_server(free_port())
    assert table.start(service) == table.start(service)


def test_nothing_listens_after_everything_was_stopped(table: ProcessTable) -> None:
    port = free_port()
    table.start(web_server(port))
    assert table.stop_all() == ["web"]
    assert table.running() == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def test_a_server_that_ends_at_once_shows_its_log(table: ProcessTable) -> None:
    command = (sys.executable, "-c", "raise SystemExit('no disk')")
    with pytest.raises(TransientError, match="no disk"):
        table.start(Service("broken", command, lambda: False))


def test_a_server_that_is_not_ready_in_time_is_ended(table: ProcessTable) -> None:
    command = (sys.executable, "-c", "import time; time.sleep(60)")
    service = Service("slow", command, lambda: False, ready_within_seconds=0.5)
    with pytest.raises(TransientError, match="not ready in time"):
        table.start(service)
    assert table.running() == []


def test_a_program_that_is_not_installed_is_named(table: ProcessTable) -> None:
    with pytest.raises(TerminalError, match="there is no nothing-of-the-kind"):
        table.start(Service("x", ("nothing-of-the-kind",), lambda: True))


def test_a_process_that_took_the_id_of_a_dead_one_is_not_ours(table: ProcessTable) -> None:
    process = table.start(web_server(free_port()))
    impostor = process.model_copy(update={"started_ticks": process.started_ticks - 1})
    assert not impostor.alive


def test_an_adopted_server_is_ended_although_it_leads_no_process_group(
    table: ProcessTable, tmp_path: Path
) -> None:
    adopted = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    table.adopt("adopted", adopted.pid, tmp_path / "log")
    assert table.stop_all() == ["adopted"]
    assert table.running() == []
    with pytest.raises(ProcessLookupError):
        os.kill(adopted.pid, 0)


def test_what_a_killed_leader_left_is_ended_too(table: ProcessTable) -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        "print(subprocess.Popen(child, start_new_session=True).pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    log = table.folder / "logs" / "leader.log"
    service = Service("leader", (sys.executable, "-c", code), lambda: bool(log.read_text()))
    leader = table.start(service)
    child = int(log.read_text())
    os.kill(leader.pid, signal.SIGKILL)
    table.stop_all()
    with pytest.raises(FileNotFoundError):
        _state_unless_zombie(child)


def test_workers_that_wrote_over_their_environment_are_ended_with_their_group(
    table: ProcessTable,
) -> None:
    # As a process does that sets its title: nothing is left of the mark.
    worker = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {worker!r}], env={{}})\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    log = table.folder / "logs" / "leader.log"
    service = Service("leader", (sys.executable, "-c", code), lambda: bool(log.read_text()))
    leader = table.start(service)
    first = int(log.read_text())
    os.kill(leader.pid, signal.SIGKILL)
    os.waitpid(leader.pid, 0)
    assert table.running() == []
    log.unlink()
    table.start(service)
    with pytest.raises(FileNotFoundError):
        _state_unless_zombie(first)
    second = int(log.read_text())
    os.kill(table.running()[0].pid, signal.SIGKILL)
    assert table.stop_all() == ["leader"]
    with pytest.raises(FileNotFoundError):
        _state_unless_zombie(second)


def test_a_server_whose_start_was_cut_short_is_ended_too(table: ProcessTable) -> None:
    with table.mark():
        server = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert table.running() == []
    table.stop_all()
    server.wait(10)
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def _state_unless_zombie(pid: int) -> str:
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    if state == "Z":
        raise FileNotFoundError
    return state
