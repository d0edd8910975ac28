"""A PostgreSQL server that is back after a long outage is used within seconds: connecting is tried again and again."""

import socket
import threading
import time
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from django.db import OperationalError
from django.db.utils import ConnectionHandler

from database.settings import postgresql_settings

pytestmark = [
    pytest.mark.faults,
    pytest.mark.nightly,
    pytest.mark.only_postgresql,
    pytest.mark.concurrent,
]

OUTAGE_SECONDS = 8.0


def times_of_attempts() -> list[float]:
    """Ask for connections to a server that refuses all. Returns when the outage began, each attempt, and the end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        times = [time.monotonic()]

        def refuse() -> None:
            # The server closes at the end.
            with suppress(OSError):
                while True:
                    server.accept()[0].close()
                    times.append(time.monotonic())

        refusing = threading.Thread(target=refuse)
        refusing.start()
        address = {"ENGINE": "django.db.backends.postgresql", "NAME": "hub", "USER": "hub"}
        address |= {"HOST": "127.0.0.1", "PORT": str(server.getsockname()[1])}
        settings = postgresql_settings(address, wait_seconds=1, pool_size=4, prepare_threshold=None)
        connection = ConnectionHandler({"default": settings, "outage": settings})["outage"]
        try:
            while time.monotonic() < times[0] + OUTAGE_SECONDS:
                with pytest.raises(OperationalError):
                    connection.ensure_connection()
        finally:
            connection.close_pool()
            server.shutdown(socket.SHUT_RDWR)
        refusing.join()
    return [*times, time.monotonic()]


def test_no_process_waits_long_before_it_tries_to_connect_again(django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        times = times_of_attempts()
    longest = max(later - earlier for earlier, later in pairwise(times))
    assert longest < 3
