"""Processes of the benchmark: started in groups of their own, measured from /proc, ended by their ids."""

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
    """A process and all that it started."""

    def __init__(self, process: int) -> None:
        self.process = process

    def members(self) -> dict[int, list[str]]:
        """The fields of /proc/<pid>/stat after the name, by process id."""
        every = {each: fields for each in _ids() if (fields := _fields(each))}
        found, waiting = {}, [self.process]
        while waiting:
            one = waiting.pop()
            if one in every:
                found[one] = every[one]
                waiting += [each for each, fields in every.items() if int(fields[_PARENT]) == one]
        return found

    def cpu(self) -> float:
        """Seconds of CPU so far, user and system, of the living and of those that they waited for."""
        return sum(sum(map(int, fields[_CPU])) for fields in self.members().values()) / _TICK

    def memory(self) -> int:
        """Return the resident bytes (RSS), added up: pages that processes share count for each of them."""
        return sum(size_of(each, "status", "VmRSS") for each in self.members())

    def proportional_memory(self) -> int:
        """Return the proportional bytes (PSS), added up: a page that n processes share counts 1/n for each."""
        return sum(size_of(each, "smaps_rollup", "Pss") for each in self.members())

    def signal(self, number: int) -> None:
        """Send a signal to each of them."""
        for each in self.members():
            os.kill(each, number)


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
    """A process in a group of its own for as long as the block runs; asked to end, and killed after 5 s."""
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
    """Until something listens; AssertionError where the process ends or the time does."""
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
    """A port that nobody listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
