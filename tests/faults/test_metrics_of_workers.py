"""`/metrics` of a machine shows what its workers measure, with each engine, also after one was killed; and a worker serves
it itself at METRICS_LISTEN.
"""

import http.client
from pathlib import Path
from typing import Any

import pytest

from tests.support.hub import EXAMPLE, Hub
from tests.support.metrics import TOKEN, Series, measured_hub, parse_series, scrape, value_of
from tests.support.processes.ports import free_port
from tests.support.processes.workers import running_workers, wait_until

pytestmark = [
    pytest.mark.faults,
    pytest.mark.submission,
    pytest.mark.worker_processes,
    pytest.mark.concurrent,
]

ACK = EXAMPLE[:-1] + b',"respond":"ack"}'


def ask_worker(port: int, path: str = "/metrics", token: str = TOKEN) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def ask_for_series(port: int) -> Series | None:
    """Return what a worker shows; None while no worker listens."""
    try:
        status, body = ask_worker(port)
    except OSError:
        return None
    assert status == 200
    return parse_series(body.decode())


def attempts(series: Series | None) -> float:
    return 0 if series is None else value_of(series, "hub_attempts_total", outcome="succeeded")


def test_a_scrape_shows_what_workers_have_measured(hub: Hub, tmp_path: Path, settings: Any) -> None:
    settings.WAKE_WORKERS = settings.LEFT_TO_WORKERS
    port = free_port()
    variables = {
        "METRICS_TOKEN": TOKEN,
        "METRICS_FOLDER": str(tmp_path),
        "METRICS_LISTEN": f"127.0.0.1:{port}",
    }
    with measured_hub(tmp_path):
        with running_workers(poll=0.1, count=2, **variables) as workers:
            wait_until(lambda: value_of(scrape(), "hub_delivery_threads", role="worker") == 8)
            hub.change_email("anna@new.example")
            assert hub.post(ACK).status_code == 202
            wait_until(lambda: attempts(scrape()) == 1)
            shown = scrape()
            assert (
                value_of(shown, "hub_request_duration_seconds_count", connection="shop", purpose="update")
                == 1
            )
            assert value_of(shown, "hub_processes", role="worker") == 2
            assert ask_worker(port, token="wrong")[0] == 404
            assert ask_worker(port, path="/health")[0] == 404
            # Whichever has the port answers for both; if it is killed, the other takes the port.
            assert attempts(ask_for_series(port)) == 1
            for worker in workers:
                worker.process.kill()
                worker.process.wait()
                if worker is not workers[-1]:
                    wait_until(lambda: attempts(ask_for_series(port)) == 1)
        ended = scrape()
        assert attempts(ended) == 1
        assert value_of(ended, "hub_processes", role="worker") == 0
        assert value_of(ended, "hub_delivery_threads", role="worker") == 0
