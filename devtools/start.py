"""`python3 devtools/start.py COMMAND…`: run a command that starts the hub, or say what is missing or in the way.

Runs before anything is installed: with the standard library only.
"""

import fcntl
import importlib.util
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PORTS = {"HUB_PORT": "8000", "SANDBOX_IDENTITY_PORT": "8101", "SANDBOX_SHOP_PORT": "8102"}
LEAST_PYTHON = (3, 11)


def main(command: list[str]) -> None:
    """Replace this process by the command, which locks this folder for as long as it runs. If it cannot start, exits
    with 1 after a sentence for each reason.
    """
    if problems := list(_find_problems()) or _lock_folder() or _find_busy_ports():
        sys.exit("\n".join(problems))
    os.execvp(command[0], command)  # noqa: S606


def _find_problems() -> Iterator[str]:
    """Yield what is missing on this machine or in this folder."""
    if sys.version_info < LEAST_PYTHON:
        yield "Python 3.11 or newer is needed; `make run PYTHON=python3.12` uses another one than python3."
    if not (ROOT / ".venv" / "ready").exists() and importlib.util.find_spec("ensurepip") is None:
        yield "This Python cannot make virtual environments; on Debian and Ubuntu, install python3-venv."
    for folder in (ROOT, ROOT / "var", ROOT / ".venv"):
        if folder.exists() and (reason := _why_not_writable(folder)):
            yield f"{folder} cannot be written to ({reason}); use a clone in a folder of your own."
            return


def _why_not_writable(folder: Path) -> str:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return os.strerror(error.errno or 0)


def _lock_folder() -> list[str]:
    """Lock this folder until the last process ends that inherits the descriptor. Returns why it could not be locked."""
    (ROOT / "var").mkdir(exist_ok=True)
    descriptor = os.open(ROOT / "var" / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return [
            "`make run` already runs in this folder; stop it, or start it in another clone on other ports."
        ]
    os.set_inheritable(descriptor, True)
    return []


def _find_busy_ports() -> list[str]:
    own = {**os.environ, **_read_environment_file()}
    ports = {name: own.get(name) or default for name, default in PORTS.items()}
    if own.get("EMPTY"):
        ports = {"HUB_PORT": ports["HUB_PORT"]}
    return [
        f"127.0.0.1:{port} {why}, or set {name}." for name, port in ports.items() if (why := _why_busy(port))
    ]


def _read_environment_file() -> dict[str, str]:
    """Return the variables of `.env`, which every process of `make run` reads."""
    with suppress(OSError):
        lines = (ROOT / ".env").read_text().splitlines()
        pairs = [line.partition("=") for line in lines if not line.startswith("#")]
        return {name.strip(): value.strip("'\" ") for name, _, value in pairs}
    return {}


def _why_busy(port: str) -> str:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(port)))
        except PermissionError:
            return "needs the rights of root; choose a port from 1024 on"
        except OSError:
            return "is used by another program; stop it"
        except (ValueError, OverflowError):
            return "is no port; correct it"
    return ""


if __name__ == "__main__":
    main(sys.argv[1:])
