"""The web process: gunicorn's threaded worker, whose threads get requests that have arrived in whole.

One loop reads all connections, and sends what a client does not take at once. A client that sends or reads slowly costs
a little memory and no thread, until its time is over.
"""

import resource
import threading
import time
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER

from database.response_limit import LONG_RESPONSE_SECONDS, limited_responses
from integration_hub.web_server.client_connection import ClientConnection, ConnectionPhase
from integration_hub.web_server.connection_loop import ConnectionLoop
from integration_hub.web_server.refusals import build_response, internal_error
from integration_hub.web_server.response_writer import ResponseWriter
from sync.metrics.declared import DELIVERY_THREADS, HTTP_THREADS
from sync.metrics.process_metrics import start_measuring
from sync.worker.process_tuning import pin_to_one_core

SWEEP_SECONDS = 0.5
# Files that the process needs besides the connections of clients.
OTHER_FILES = 200
# What no client may decide: by default, gunicorn believes such headers of a client on the same machine.
_SETTINGS = {
    "forwarder_headers": "",
    "secure_scheme_headers": {},
    "forwarded_allow_ips": "",
    "header_map": "drop",
    "http_parser": "python",
    "proxy_protocol": "off",
    # A file is sent in pieces, by way of `ResponseWriter`.
    "sendfile": False,
}


class HubWorker(ConnectionLoop):
    """A worker that reads heads and bodies before a thread sees them, with deadlines, and refuses in JSON."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for name, value in _SETTINGS.items():
            self.cfg.set(name, value)
        self._next_sweep = 0.0
        # Half of the threads may wait for clients of long downloads. The others serve everybody else.
        self._waiters = threading.Semaphore(max(1, self.cfg.threads // 2))

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Refuse TLS, which this worker does not read. A proxy terminates it."""
        super().check_config(cfg, log)
        if cfg.is_ssl:
            raise SystemExit("The hub does not speak TLS itself: put a proxy in front of it.")

    def init_process(self) -> None:
        """Allow as many connections as the system lets this process open."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY:
            self.worker_connections = max(1, min(self.cfg.worker_connections, soft - OTHER_FILES))
        super().init_process()

    def load_wsgi(self) -> None:
        """Load the application, unless the master has, and pin this process to a core before its threads start.

        The master looked at the database when it started. A process that is forked later looks itself.
        """
        super().load_wsgi()
        if self.age > self.cfg.workers:
            # Imported here, because gunicorn imports this module before Django is set up.
            from integration_hub.checks import check_database_or_exit

            check_database_or_exit()
        pin_to_one_core()
        start_measuring("web", {HTTP_THREADS: self.cfg.threads, DELIVERY_THREADS: settings.DELIVERY_THREADS})

    def handle(self, conn: ClientConnection) -> bool:
        """Run the application for a request, in a thread. Returns True if the connection may be used again."""
        writer = ResponseWriter(conn.sock, self._waiters)
        responding = SimpleNamespace(sock=writer, client=conn.client, server=conn.server)
        try:
            with limited_responses(LONG_RESPONSE_SECONDS):
                keeps_open = self.handle_request(conn.reader.request, responding)
            conn.unsent = writer.unsent
            return bool(keeps_open) and not conn.reader.is_cut_off
        except StopIteration:
            pass  # gunicorn has logged why the response ended early
        except OSError as error:
            self.log.debug("The client did not take the response: %s", type(error).__name__)
        except Exception:  # one request must not end the process
            self.log.exception("Error handling a request")
            with suppress(OSError):
                writer.sendall(build_response(internal_error()))
                conn.unsent = writer.unsent
        return False

    def finish_request(self, conn: ClientConnection, fs: Any) -> None:
        """Wait for the next request of a connection, or close it. Runs in the loop."""
        try:
            conn.keeps_open = not fs.cancelled() and fs.exception() is None and bool(fs.result())
            self.end_response(conn)
        except (OSError, ValueError):
            self.close(conn)

    def murder_pending(self) -> None:
        """Close connections that are late. gunicorn calls it in each turn of its loop."""
        now = time.monotonic()
        if now < self._next_sweep:
            return
        self._next_sweep = now + SWEEP_SECONDS
        for connection in list(self.waiting):
            if not self.alive and connection.phase is ConnectionPhase.IDLE:
                connection.deadline = min(connection.deadline, now + STOP_KEEPALIVE_LINGER)
            if connection.is_late(now):
                self.end_late(connection)
