"""HTTP servers for tests: one with configurable answers, and raw ones that misbehave below HTTP."""

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class SeenRequest:
    """One request as the server received it. `client`: the common name of its client certificate."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    client: str = ""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """An answer: JSON unless `raw` is given. An empty `Date` leaves that header out."""

    status: int = 200
    value: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None

    def body(self) -> bytes:
        if self.raw is not None:
            return self.raw
        return b"" if self.status == 204 else json.dumps(self.value).encode()


Answering = Callable[[SeenRequest], Reply]


@dataclass
class Service:
    """A running server, the requests it received (`seen`), and its answering function."""

    url: str
    answer: Answering
    seen: list[SeenRequest] = field(default_factory=list)
    server: Any = None


def find_client_name(connection: socket.socket) -> str:
    """Return the common name of the certificate that the client presented; empty without one."""
    certificate: Any = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
    subject = (certificate or {}).get("subject", ())
    return next((value for part in subject for name, value in part if name == "commonName"), "")


def _handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            client = find_client_name(self.connection)
            seen = SeenRequest(self.command, self.path, headers, body, id(self.connection), client)
            service.seen.append(seen)
            reply = service.answer(seen)
            payload = reply.body()
            if "Date" in reply.headers:
                self.send_response_only(reply.status)
            else:
                self.send_response(reply.status)
            for name, value in reply.headers.items():
                if value:
                    self.send_header(name, value)
            if reply.status != 204:
                self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = serve  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextlib.contextmanager
def serving(answer: Answering, tls: ssl.SSLContext | None = None) -> Iterator[Service]:
    """Run a server that answers each request with what `answer` returns."""
    service = Service("", answer)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(service))
    server.daemon_threads = True
    service.server = server
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    service.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def raw_serving(behave: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run a server that passes each accepted connection to `behave`, then closes it. Yields its URL."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            behave(tls.wrap_socket(connection, server_side=True) if tls else connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def read_request(connection: socket.socket) -> bytes:
    """Read up to the end of the headers and of a body that gives its length."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return data
        data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    length = int(lengths[0].split(b":")[1]) if lengths else 0
    while len(rest) < length:
        rest += connection.recv(65536)
    return head + b"\r\n\r\n" + rest


def dripping(data: bytes, first: bytes = b"") -> Callable[[socket.socket], None]:
    """Return a behaviour that sends `first` at once, then the data over and over, one byte every 50 ms."""

    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(first)
        for byte in data * 1000:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    return behave
