"""Probes of a web process: `/live` while no thread is free, and `/ready` once the process stops."""

import http.client
import json
import signal
import sqlite3
import time
from contextlib import closing

import pytest

from tests.web_server.conftest import StartHub
from tests.web_server.raw_client import exchange, open_link, read_answer
from tests.web_server.raw_requests.case import webhook

pytestmark = [
    pytest.mark.submission, pytest.mark.concurrent, pytest.mark.only_sqlite
]  # fmt: skip

LIVE = b"%s /live HTTP/1.1\r\nHost: 10.0.0.7\r\n\r\n"


def test_a_process_answers_whether_it_lives_while_all_threads_wait(start_hub: StartHub) -> None:
    """With one thread, which waits for the lock of the database."""
    with (
        start_hub(WEB_THREADS="1", DATABASE_WAIT_SECONDS="20") as hub,
        closing(sqlite3.connect(hub.database)) as lock,
    ):
        lock.execute("BEGIN IMMEDIATE")
        with open_link(hub.port, webhook()) as waiting:
            time.sleep(0.5)
            for method in ("GET", "HEAD"):
                status, headers, body = read_answer(exchange(hub.port, LIVE % method.encode()), method)
                assert (status, headers["Cache-Control"]) == (200, "no-store")
                assert body == (b"" if method == "HEAD" else b'{"status": "ok"}')
            assert exchange(hub.port, LIVE % b"GET").count(b"HTTP/1.1") == 1
            waiting.setblocking(False)
            with pytest.raises(BlockingIOError):
                waiting.recv(1)
            lock.rollback()
            waiting.settimeout(20)
            assert waiting.recv(65_536).startswith(b"HTTP/1.1 20")
        assert read_answer(exchange(hub.port, LIVE % b"POST"))[0] == 405


def test_a_process_that_stops_is_not_ready(start_hub: StartHub) -> None:
    with start_hub() as hub, closing(http.client.HTTPConnection("127.0.0.1", hub.port, timeout=10)) as link:
        answers = []
        for number in range(200):
            link.request("GET", "/ready")
            answer = link.getresponse()
            answers.append((answer.status, json.loads(answer.read())))
            if answer.status != 200:
                break
            if number == 0:
                assert hub.process is not None
                hub.process.send_signal(signal.SIGTERM)
            time.sleep(0.01)
        assert answers[0] == (200, {"status": "ok"})
        assert answers[-1] == (503, {"status": "unready", "reason": "draining"})
        assert hub.process is not None
        assert hub.process.wait(20) == 0
        hub.process = None
