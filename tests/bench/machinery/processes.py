"""Processes of the benchmark: started in their own groups, measured from /proc, ended by their ids."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[3]
_TICK = os.sysconf("SC_CLK_TCK")
_PARENT, _CPU = 1, slice(11, 15)  # fields of /proc/<pid>/stat after the name: utime, stime, cutime, cstime


class Family:
    """A process and all of its descendants."""

    def __init__(self, process: int) -> None:
        self.process = process

    def members(self) -> dict[int, list[str]]:
        """Return process id → the fields of /proc/<pid>/stat after the name."""
        every = {process_id: fields for process_id in _ids() if (fields := _fields(process_id))}
        found, waiting = {}, [self.process]
        while waiting:
            one = waiting.pop()
            if one in every:
                found[one] = every[one]
                waiting += [process_id for process_id, fields in every.items() if int(fields[_PARENT]) == one]
        return found

    def cpu(self) -> float:
        """Return the CPU seconds, user and system, of living processes and of children that they waited for."""
        return sum(sum(map(int, fields[_CPU])) for fields in self.members().values()) / _TICK

    def memory(self) -> int:
        """Return the resident bytes (RSS), added up: pages that processes share count for each of them."""
        return sum(size_of(process_id, "status", "VmRSS") for process_id in self.members())

    def proportional_memory(self) -> int:
        """Return the proportional bytes (PSS), added up: a page that n processes share counts 1/n for each."""
        return sum(size_of(process_id, "smaps_rollup", "Pss") for process_id in self.members())

    def signal(self, number: int) -> None:
        """Send a signal to each process."""
        for process_id in self.members():
            os.kill(process_id, number)


def _ids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _fields(process: int) -> list[str]:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended meanwhile
        return []


def parent_of(process: int) -> int:
    """Return the id of a process's parent. Raises LookupError if this machine has no such process."""
    fields = _fields(process)
    if not fields:
        raise LookupError(f"no process {process} here")
    return int(fields[_PARENT])


def size_of(process: int, file: str, name: str) -> int:
    """Return the bytes that a line of /proc/<pid>/<file> gives; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{process}/{file}").read_text().splitlines()
    except OSError:  # it has ended meanwhile
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)


@contextmanager
def running(
    command: Sequence[str], environment: dict[str, str], output: IO[bytes] | int
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process in its own group within the context; at the end it gets SIGTERM, and SIGKILL after 5 s."""
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float = 30) -> None:
    """Wait until the port accepts connections. Raises AssertionError if the process ends or time runs out."""
    until = time.monotonic() + seconds
    while True:
        assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < until, f"{process.args!r} does not listen"
            time.sleep(0.05)
        else:
            return


def free_port() -> int:
    """Return a port without a listener."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
