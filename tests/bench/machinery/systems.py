"""The two stand-in systems as one process with two ports and a count of calls."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.bench.machinery.processes import ROOT, free_port


@dataclass(frozen=True, slots=True)
class Systems:
    """The ports of the identity service and the shop."""

    identity: int
    shop: int

    def calls(self, delay: float = 0.0) -> int:
        """Return the number of calls so far, and delay each later call by `delay` milliseconds."""
        url = f"http://127.0.0.1:{self.shop}/-/calls?delay={delay:g}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return sum(json.load(answer).values())


@contextmanager
def running_systems() -> Iterator[Systems]:
    """Run both systems; they are ready within the context."""
    systems = Systems(free_port(), free_port())
    command = [
        sys.executable,
        "-m",
        "tests.bench.machinery.stand_ins",
        str(systems.identity),
        str(systems.shop),
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n", "the stand-in systems did not start"
        yield systems
    finally:
        process.kill()
        process.wait()
