"""The services as commands of their own."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sandbox.client import Client

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

COMMAND = [sys.executable, "-m", "sandbox"]


@pytest.mark.submission
@pytest.mark.parametrize(
    ("name", "path", "number"),
    [("shop", "/api/customers", signal.SIGTERM), ("identity", "/api/users", signal.SIGINT)],
)
def test_a_service_prints_its_address_reads_secrets_from_the_environment_and_exits_cleanly(
    tmp_path: Path, name: str, path: str, number: int
) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        f"SANDBOX_{name.upper()}_TOKEN": "from-the-environment",
        "SANDBOX_DATA": str(tmp_path),
    }
    with subprocess.Popen(
        [*COMMAND, name, "--port", "0"], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        match = re.search(r"listens on (http://127\.0\.0\.1:\d+)$", process.stdout.readline().strip())
        assert match
        assert Client(match[1], "from-the-environment")("GET", path).status_code == 200
        process.send_signal(number)
        assert process.wait(60) == 0
    assert (tmp_path / f"{name}.sqlite3").exists()


@pytest.mark.submission
def test_a_setting_that_makes_no_sense_ends_with_one_sentence() -> None:
    command = [*COMMAND, "identity", "--webhook-url", "ftp://x", "--port", "0"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("sandbox: ")
    assert "Traceback" not in result.stderr
