"""`python -m tests.peers.start directus tryton`: run real systems, to connect the hub to them by hand.

Installs, starts and seeds them, and ends them with Ctrl-C. What they store is deleted at the end; installations stay.
"""

import argparse
import os
import shlex
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.peers.systems.directus import Directus
from tests.peers.systems.peer import Peer, PeerUnavailable, peers_folder
from tests.peers.systems.tryton import Tryton

# Fixed ports, so that addresses stay the same after a restart; none is used by `make run`.
KINDS: Mapping[str, tuple[type[Peer], int]] = {"directus": (Directus, 8055), "tryton": (Tryton, 8065)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named systems until a signal. Returns the exit status: 1 if one could not be installed or started."""
    parser = argparse.ArgumentParser(prog="python -m tests.peers.start")
    parser.add_argument("systems", nargs="+", choices=sorted(KINDS))
    names = list(dict.fromkeys(parser.parse_args(arguments).systems))
    _on_signals(signal.default_int_handler)
    try:
        with running_peers(names) as peers:
            variables = peers_folder() / "started.env"
            write_variables(variables, peers)
            print(f"Started. In another terminal: . {shlex.quote(str(variables))}")
            for peer in peers:
                print(f"  {peer.name:10} {peer.url}")
            print("Ctrl-C stops them and deletes what they store.", flush=True)
            try:
                threading.Event().wait()
            finally:
                # `make` passes a signal on that its child has too, and people press Ctrl-C twice: the second one would
                # leave systems running.
                _on_signals(signal.SIG_IGN)
    except KeyboardInterrupt:
        return 0
    except PeerUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _on_signals(handler: Any) -> None:
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, handler)


@contextmanager
def running_peers(names: Sequence[str]) -> Iterator[list[Peer]]:
    """Yield the started systems; stop them at the end. Raises PeerUnavailable."""
    kinds = [(kind, check_port(name, port)) for name in names for kind, port in [KINDS[name]]]
    run_folder = Path(tempfile.mkdtemp(prefix="hub-peers-"))
    peers = [kind(run_folder, port) for kind, port in kinds]
    try:
        for peer in peers:
            print(f"Installing and starting {peer.name}. The first time takes some minutes.", flush=True)
            peer.open()
        yield peers
    finally:
        for peer in peers:
            peer.close()
        shutil.rmtree(run_folder, ignore_errors=True)


def check_port(name: str, port: int) -> int:
    """Return the port of a system. Raises PeerUnavailable if another program listens there."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise PeerUnavailable(f"{name}: another program uses port {port}; stop it first")
    return port


def write_variables(path: Path, peers: Sequence[Peer]) -> None:
    """Write the addresses and credentials of started systems as a file for a shell, readable by its owner only."""
    variables = {name: value for peer in peers for name, value in peer.shell_variables().items()}
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())


if __name__ == "__main__":
    sys.exit(main())
