"""Systems that are started to connect them by hand: their file for a shell, and their ports."""

import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.peers import start
from tests.peers.start import check_port, running_peers, write_variables
from tests.peers.systems.peer import Peer, PeerUnavailable
from tests.support.processes.ports import free_port

pytestmark = pytest.mark.pure
ROOT = Path(__file__).parents[2]


class FakePeer(Peer):
    """A peer without packages and without a server."""

    name = "fake"
    stopped: list[str] = []

    def open(self) -> None:
        if self.port == 1:
            raise PeerUnavailable("fake: cannot be installed")

    def close(self) -> None:
        self.stopped.append(self.name)

    def shell_variables(self) -> dict[str, str]:
        return {"FAKE": self.url, "FAKE_TOKEN": "it's $HOME"}


def test_the_variables_file_is_private_and_can_be_sourced(tmp_path: Path) -> None:
    file = tmp_path / "started.env"
    file.write_text("OLD=1")
    file.chmod(0o666)
    write_variables(file, [FakePeer(tmp_path, 8055)])
    printed = subprocess.check_output(["sh", "-c", f". {file}; echo $FAKE $FAKE_TOKEN"], text=True)
    assert printed == "http://127.0.0.1:8055 it's $HOME\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert "OLD" not in file.read_text()


def test_a_port_in_use_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    port = free_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        assert check_port("fake", port) == port
        other.listen()
        with pytest.raises(PeerUnavailable, match=f"fake: another program uses port {port}"):
            check_port("fake", port)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        use_fakes(monkeypatch, [port, free_port()])
        with pytest.raises(PeerUnavailable), running_peers(["fake"]):
            pass
    assert list(tmp_path.iterdir()) == []


def test_all_systems_are_stopped_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = [free_port(), free_port()]
    use_fakes(monkeypatch, ports)
    with running_peers(["fake", "other"]) as peers:
        assert [peer.port for peer in peers] == ports
        assert not FakePeer.stopped
    assert len(FakePeer.stopped) == 2


def test_all_systems_are_stopped_when_one_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fakes(monkeypatch, [free_port(), 1])
    with pytest.raises(PeerUnavailable, match="cannot be installed"), running_peers(["fake", "other"]):
        pass
    assert len(FakePeer.stopped) == 2


STOPPED_TWICE = """
import os, signal, sys, threading
from pathlib import Path
from tests.peers import start
from tests.peers.systems.peer import Peer

class Slow(Peer):
    def open(self): pass
    def shell_variables(self): return {}
    def close(self):
        os.kill(os.getpid(), signal.SIGTERM)
        print("closed", flush=True)

start.KINDS = {"one": (Slow, int(sys.argv[1])), "two": (Slow, int(sys.argv[2]))}
start.peers_folder = lambda: Path(sys.argv[3])
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
sys.exit(start.main(["one", "two"]))
"""


def test_a_second_signal_does_not_leave_systems_running(tmp_path: Path) -> None:
    arguments = [str(free_port()), str(free_port()), str(tmp_path)]
    command = [sys.executable, "-c", STOPPED_TWICE, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert (run.returncode, run.stdout.count("closed")) == (0, 2), run.stdout + run.stderr


def use_fakes(monkeypatch: pytest.MonkeyPatch, ports: list[int]) -> None:
    monkeypatch.setattr(FakePeer, "stopped", [])
    monkeypatch.setattr(start, "KINDS", {"fake": (FakePeer, ports[0]), "other": (FakePeer, ports[1])})
