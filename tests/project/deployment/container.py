"""Processes of the image without an engine: its files, user and variables, in namespaces of their own.

A container that is stopped gets SIGTERM as process 1, which is what a namespace of processes is for.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.project.deployment.files import Service, copy_image

_ENTER = str(Path(__file__).with_name("enter_image.sh"))
_NAMESPACES = [
    "unshare",
    "--mount",
    "--propagation",
    "private",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
]
_AS_USER = ["setpriv", "--reuid", "10001", "--regid", "10001", "--clear-groups"]


@dataclass(frozen=True)
class Image:
    """A copy of the files of the image, and the volume of its containers."""

    files: Path
    volume: Path

    def run(self, command: list[str], environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        """Run a command in a new container until it ends."""
        return subprocess.run(
            self._enter(command), env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    @contextmanager
    def start(self, service: Service, log: Path) -> Iterator["Container"]:
        """Run a service in a new container, and kill it at the end."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                self._enter(service.command), env=service.environment, stdout=output, stderr=output
            )
        try:
            yield Container(process, service, log)
        finally:
            process.kill()
            process.wait()

    def _enter(self, command: list[str]) -> list[str]:
        packages, python = Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()
        return [*_NAMESPACES, _ENTER, str(self.files), str(self.volume), str(packages), str(python), *command]


@dataclass
class Container:
    """A running service. `process` is `unshare`, whose only child is process 1 of the container."""

    process: "subprocess.Popen[bytes]"
    service: Service
    log: Path

    @property
    def first_process(self) -> int:
        """The id of process 1 outside; 0 before it begins."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else 0

    def is_healthy(self) -> bool:
        """Run the health check of the service inside."""
        if not self.first_process:
            return False
        kind, *arguments = self.service.health
        command = ["sh", "-c", *arguments] if kind == "CMD-SHELL" else arguments
        inside = ["nsenter", "--target", str(self.first_process), "--mount", "--pid", *_AS_USER, *command]
        return (
            subprocess.run(inside, env=self.service.environment, capture_output=True, check=False).returncode
            == 0
        )

    def wait_until_healthy(self, seconds: float = 180.0) -> None:
        until = time.monotonic() + seconds
        while not self.is_healthy():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.2)

    def stop(self) -> int:
        """Stop the container as an engine does. Returns its exit code; fails if it would be killed."""
        os.kill(self.first_process, signal.SIGTERM)
        return self.process.wait(self.service.stop_seconds)


def build_image(folder: Path) -> Image:
    """Copy what the image has, owned by root as there, and make its volume."""
    if os.geteuid() != 0 or subprocess.run([*_NAMESPACES, "true"], check=False).returncode:
        pytest.skip("only root, where it may make namespaces, can become the user of the image")
    image = Image(folder / "image", folder / "var")
    image.files.mkdir()
    copy_image(image.files)
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(image.files)], check=True)
    (image.files / "var").mkdir()
    for folder in (image.volume, image.volume / "checkpoints"):
        folder.mkdir(mode=0o700)
        shutil.chown(folder, 10001, 10001)
    return image
