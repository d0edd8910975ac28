"""What `make run` says, before it installs or starts anything, of what is missing or in the way."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.pure

START = Path(__file__).resolve().parents[2] / "devtools" / "start.py"
COMMAND = ["sh", "-c", "echo started; read line"]


PORTS = ("HUB_PORT", "SANDBOX_IDENTITY_PORT", "SANDBOX_SHOP_PORT")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the script, as in a checkout."""
    (tmp_path / "devtools").mkdir()
    shutil.copy(START, tmp_path / "devtools")
    # The ports of this machine may be taken.
    (tmp_path / ".env").write_text("".join(f"{name}={free_port()}\n" for name in PORTS))
    return tmp_path


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def start(checkout: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "devtools/start.py", *COMMAND],
        cwd=checkout,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refusal(checkout: Path, **environment: str) -> str:
    """Return what is said in place of a start."""
    process = start(checkout, **environment)
    printed, said = process.communicate("")
    assert (process.returncode, printed) == (1, "")
    return said


def test_each_busy_port_is_named_with_its_variable(checkout: Path) -> None:
    with socket.socket() as first, socket.socket() as second:
        ports = []
        for one in (first, second):
            one.bind(("127.0.0.1", 0))
            one.listen()
            ports.append(one.getsockname()[1])
        (checkout / ".env").write_text(f"HUB_PORT={ports[0]}\nSANDBOX_SHOP_PORT='{ports[1]}'\n")
        assert refusal(checkout, SANDBOX_IDENTITY_PORT=str(free_port())).splitlines() == [
            f"127.0.0.1:{ports[0]} is used by another program; stop it, or set HUB_PORT.",
            f"127.0.0.1:{ports[1]} is used by another program; stop it, or set SANDBOX_SHOP_PORT.",
        ]


def test_a_port_that_is_none_is_named(checkout: Path) -> None:
    (checkout / ".env").write_text("HUB_PORT=80x\n")
    assert "127.0.0.1:80x is no port; correct it, or set HUB_PORT." in refusal(checkout)


def test_a_python_without_virtual_environments_is_named(checkout: Path) -> None:
    (checkout / "sitecustomize.py").write_text("import sys\nsys.modules['ensurepip'] = None\n")
    said = refusal(checkout, PYTHONPATH=str(checkout))
    assert (
        said == "This Python cannot make virtual environments; on Debian and Ubuntu, install python3-venv.\n"
    )


def test_a_folder_that_cannot_be_written_is_named(checkout: Path) -> None:
    # Not even root can make a file there.
    (checkout / "var").symlink_to("/sys")
    [said] = refusal(checkout).splitlines()
    assert said.startswith(f"{checkout / 'var'} cannot be written to (")
    assert said.endswith("); use a clone in a folder of your own.")


def test_a_second_start_is_refused_until_the_first_one_has_ended(checkout: Path) -> None:
    with start(checkout) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "started\n"
        assert refusal(checkout).startswith("`make run` already runs in this folder; ")
        first.communicate("")
    with start(checkout) as again:
        assert again.communicate("")[0] == "started\n"
