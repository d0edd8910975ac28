"""`python -m tests.faults.enumeration.server SOCKET`: the hub's web process, loaded once and forked for each webhook.

A cold start takes a second, a fork a few milliseconds. Only the socket is open before the fork: each child has its own
database and serves exactly one webhook through the WSGI application, over a real connection.
A child reads its task as one line of JSON from SOCKET and answers with lines of JSON; when it dies, they end.
"""

import io
import json
import logging
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.urls import get_resolver

from integration_hub.wsgi import application
from sync.execution.executor import _process_executor
from tests.faults.consistency.batch_checks import find_audit_faults
from tests.faults.enumeration.operations import Commits, Operations, watch

LINGER_SECONDS = 0.08
DRAIN_SECONDS = 60.0
"""Longest wait of a drain for claims of dead processes; a lease is much shorter."""

_write = os.write  # the counted one is for the hub


@dataclass(frozen=True, slots=True)
class Task:
    """The task of a child: it drains, serves one webhook, or both in this order; the last of them is counted.

    `database` is the NAME in DATABASES. `leaves_to_workers`: deferred work is not run here. `at`, `after`: see Operations.
    `cuts`: the connection breaks after the commit `at`, and the process lives. `examines`: it only reports what the
    nightly check finds.
    """

    database: str
    drains: bool = False
    serves: bool = True
    leaves_to_workers: bool = False
    at: int | None = None
    after: bool = False
    cuts: bool = False
    examines: bool = False


class Server(WSGIServer):
    """A WSGI server that does not look up its own name in DNS."""

    def server_bind(self) -> None:
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]
        self.setup_environ()


class QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        logging.getLogger("hub.receive").debug(format, *args)


def main(path: str) -> None:
    get_resolver().url_patterns  # noqa: B018 - loads every module of the hub before the first fork
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{path}.new")
        listening.listen(64)
        Path(f"{path}.new").rename(path)  # whoever sees PATH can connect
        while True:
            control, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                serve(control)
            control.close()


def serve(control: socket.socket) -> None:
    """Run the task that a child reads from `control`, report to it, and exit."""
    descriptor = control.fileno()
    task = Task(**json.loads(control.makefile("rb").readline()))

    def tell(**facts: Any) -> None:
        _write(descriptor, json.dumps(facts).encode() + b"\n")

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    connections.settings["default"]["NAME"] = task.database
    if task.leaves_to_workers:
        settings.WAKE_WORKERS = settings.LEFT_TO_WORKERS
    make_operations = Commits if task.cuts else Operations
    operations = make_operations(task.at, after=task.after, tell=lambda label: tell(died=label))
    watch(operations)
    try:
        if task.examines:
            tell(findings=find_audit_faults())
        if task.drains:
            _drain(operations, is_counted=not task.serves)
        if task.serves:
            _serve_one(operations, tell)
        tell(operations=operations.labels)
    except BaseException as error:
        tell(failed=repr(error))
    finally:
        os._exit(0)


def _drain(operations: Operations, *, is_counted: bool) -> None:
    if is_counted:
        operations.begin()
    call_command("deliver_due", early=True, wait=DRAIN_SECONDS, stdout=io.StringIO())
    operations.end()


def _serve_one(operations: Operations, tell: Any) -> None:
    server = Server(("127.0.0.1", 0), QuietHandler)
    server.set_app(application)
    server.timeout = 90
    tell(port=server.server_port)
    operations.begin()
    server.handle_request()
    time.sleep(LINGER_SECONDS)  # what it does after its answer belongs to it
    until = time.monotonic() + DRAIN_SECONDS
    while _process_executor().used_slots and time.monotonic() < until:
        time.sleep(LINGER_SECONDS)
    operations.end()


if __name__ == "__main__":
    main(sys.argv[1])
