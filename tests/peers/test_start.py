"""Systems that are started to connect them by hand: their file for a shell, and their end."""

import subprocess
from pathlib import Path

import pytest

from tests.peers import start
from tests.peers.start import running_peers, write_variables
from tests.peers.systems.peer import Peer, PeerUnavailable
from tests.support.processes.ports import free_port

pytestmark = [pytest.mark.pure, pytest.mark.nightly, pytest.mark.concurrent]


class FakePeer(Peer):
    """A peer without packages and without a server."""

    name = "fake"
    stopped: list[int] = []

    def open(self) -> None:
        if self.port == 1:
            raise PeerUnavailable("fake: cannot be installed")

    def close(self) -> None:
        self.stopped.append(self.port)

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


def test_all_systems_are_stopped_when_one_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setattr(FakePeer, "stopped", [])
    monkeypatch.setattr(start, "KINDS", {"fake": (FakePeer, port), "other": (FakePeer, 1)})
    with pytest.raises(PeerUnavailable, match="cannot be installed"), running_peers(["fake", "other"]):
        pass
    assert FakePeer.stopped == [port, 1]
