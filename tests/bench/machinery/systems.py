"""The two stand-in systems as one process with two ports and a count of calls."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.bench.machinery.processes import ROOT, free_port


@dataclass(frozen=True, slots=True)
class Systems:
    """The ports of the identity service and the shop."""

    identity: int
    shop: int

    def ask(self, path: str) -> Any:
        """Send a request to the control API of the systems. Returns the JSON value of the answer."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.shop}/-/{path}", timeout=30) as answer:
            return json.load(answer)

    def calls(self, delay: float = 0.0) -> int:
        """Return the number of calls so far, and delay each later call by `delay` milliseconds."""
        return sum(self.ask(f"calls?delay={delay:g}").values())


@contextmanager
def running_systems(module: str = "tests.bench.machinery.stand_ins") -> Iterator[Systems]:
    """Run both systems, as this module has them; they are ready within the context."""
    systems = Systems(free_port(), free_port())
    command = [
        sys.executable,
        "-m",
        module,
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
