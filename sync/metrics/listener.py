"""`/metrics` of a machine that has workers and no web process, at the address METRICS_LISTEN.

The workers of a machine share their measurements: whichever has the port answers for all, and if it ends another one
takes the port.
"""

import logging
import socket
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from django.conf import settings

from sync.metrics import declared
from sync.metrics.exposition import expose, may_read_metrics
from sync.metrics.process_metrics import start_measuring

logger = logging.getLogger("hub.metrics")

RETRY_SECONDS = 5.0
# Seconds for one scrape. Requests are answered one after the other.
DEADLINE_SECONDS = 5.0


def start_worker_metrics(threads: int) -> None:
    """Measure this worker, and answer scrapes at METRICS_LISTEN if METRICS_TOKEN is set too. Begins threads."""
    start_measuring("worker", {declared.DELIVERY_THREADS: threads})
    if settings.METRICS_TOKEN and settings.METRICS_LISTEN:
        address, _, port = settings.METRICS_LISTEN.rpartition(":")
        listen = partial(_listen, address.strip("[]"), int(port))
        threading.Thread(target=listen, name="metrics-listener", daemon=True).start()


def _listen(address: str, port: int) -> None:
    while True:
        try:
            with _MetricsServer((address, port), _MetricsHandler) as server:
                server.serve_forever()
        except OSError as error:
            logger.debug("%s:%s is not free (%s); retrying", address, port, error.strerror)
        except Exception:
            logger.exception("metrics are not served; retrying")
        time.sleep(RETRY_SECONDS)


class _MetricsServer(HTTPServer):
    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer one request. A client that sends or reads slowly is cut off."""
        deadline = threading.Timer(DEADLINE_SECONDS, _shut_down, (request,))
        deadline.daemon = True
        deadline.start()
        try:
            super().process_request(request, client_address)
        finally:
            deadline.cancel()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log that a client went away, without a traceback on standard error."""
        logger.debug("a scrape was not answered", exc_info=True)


def _shut_down(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        logger.debug("the connection of a slow scrape is closed already")


class _MetricsHandler(BaseHTTPRequestHandler):
    server_version, sys_version = "hub", ""

    def do_GET(self) -> None:
        """Answer `/metrics` with the token; everything else with 404."""
        is_allowed = may_read_metrics(self.headers.get("Authorization", ""))
        if self.path.partition("?")[0] != "/metrics" or not is_allowed:
            self._respond(404, "text/plain; charset=utf-8", b"Not found.\n")
            return
        exposed = expose(self.headers.get("Accept", ""))
        self._respond(200, exposed.content_type, exposed.body)

    def _respond(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing for each scrape."""
