"""A webhook receiver with configurable answers that keeps all webhooks."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SUCCEEDED = {"status": "succeeded", "reference": "01K0REFERENCE", "results": []}
REFUSED = {
    "title": "The shop rejected the change",
    "status": 422,
    "detail": "This e-mail address already belongs to another customer.",
    "code": "target-rejected",
    "reference": "01K0REFUSED",
    "retrying": False,
    "errors": [
        {"pointer": "/data/email", "field": "email", "code": "duplicate", "detail": "Already <taken>."}
    ],
}


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """A receiver of webhooks. `answer` returns the status and the JSON value or raw bytes for a webhook."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    answer: Callable[[Received], tuple[int, Any]] = lambda webhook: (200, SUCCEEDED)

    def always(self, status: int, value: Any) -> None:
        self.answer = lambda webhook: (status, value)


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(200 if self.path == "/health" else 404, {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            webhook = Received(self.path, headers, body)
            receiver.received.append(webhook)
            self.reply(*receiver.answer(webhook))

        def reply(self, status: int, value: Any) -> None:
            raw = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()
