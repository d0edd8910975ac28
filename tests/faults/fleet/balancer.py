"""A minimal TCP proxy in front of one web process at a time."""

import selectors
import socket
import threading
from contextlib import suppress


class Balancer:
    """A proxy that passes each new connection to the port `backend`. `refused`: number of connections that failed."""

    def __init__(self, backend: int) -> None:
        self.backend = backend
        self.refused = 0
        self._server = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                backend = socket.create_connection(("127.0.0.1", self.backend), timeout=60)
            except OSError:
                self.refused += 1
                return
            with backend, suppress(OSError):
                relay(client, backend)


def relay(client: socket.socket, backend: socket.socket) -> None:
    """Copy bytes in both directions until one side closes."""
    with selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_READ, backend)
        selector.register(backend, selectors.EVENT_READ, client)
        while True:
            for key, _ in selector.select():
                source, target = key.fileobj, key.data
                assert isinstance(source, socket.socket)
                received = source.recv(65536)
                if not received:
                    return
                target.sendall(received)
