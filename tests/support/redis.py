"""Redis servers for the tests, on free ports and without persistence."""

import atexit
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_VARIABLE = "TEST_REDIS_URL"


def url() -> str:
    """Return the URL, without a database number, of the server that this test run shares."""
    if _VARIABLE not in os.environ:
        port, process = _start()
        atexit.register(process.kill)
        os.environ[_VARIABLE] = f"redis://127.0.0.1:{port}"  # workers of the same run use it too
    return os.environ[_VARIABLE]


@contextmanager
def redis_server() -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Start a separate server. Yields its URL and its process."""
    port, process = _start()
    try:
        yield f"redis://127.0.0.1:{port}/0", process
    finally:
        process.kill()
        process.wait()


def _start() -> tuple[int, "subprocess.Popen[bytes]"]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed here; .ci/run installs it", allow_module_level=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", "/tmp"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 20
    while not _is_listening(port):
        assert time.monotonic() < until, "Redis does not answer"
        time.sleep(0.02)
    return port, process


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
