"""`/metrics` of a real web process: what it measures, by IP address, and across a process that is replaced."""

import http.client
import signal
from pathlib import Path

import pytest

from tests.support.metrics import TOKEN, Series, parse_series, value_of
from tests.support.processes.hub_processes import RunningHub
from tests.support.processes.workers import wait_until
from tests.web_server.conftest import StartHub
from tests.web_server.raw_requests.case import webhook

pytestmark = [pytest.mark.submission, pytest.mark.concurrent, pytest.mark.one_database]


def scrape(hub: RunningHub) -> Series:
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=10)
    try:
        headers = {"Host": "10.9.8.7:8000", "Authorization": f"Bearer {TOKEN}"}
        connection.request("GET", "/metrics", headers=headers)
        response = connection.getresponse()
        body = response.read().decode()
    finally:
        connection.close()
    assert response.status == 200
    assert response.headers["Set-Cookie"] is None
    return parse_series(body)


def test_counters_outlast_a_web_process_and_unread_requests_are_counted(
    start_hub: StartHub, tmp_path: Path
) -> None:
    with start_hub(METRICS_TOKEN=TOKEN, METRICS_FOLDER=str(tmp_path)) as hub:
        assert hub.raw(webhook()).status == 200
        assert hub.raw(b"GET / HTTP/1.1\r\nHost: one\r\nHost: two\r\n\r\n").status == 400
        shown = scrape(hub)
        assert value_of(shown, "hub_webhooks_total", source="aurora-unsigned", status="200") == 1
        assert value_of(shown, "hub_unread_requests_total", code="bad-request") == 1
        assert value_of(shown, "hub_processes", role="web") == 1
        assert value_of(shown, "hub_http_threads") == 32
        assert value_of(shown, "hub_http_requests_running") == 1
        assert hub.process is not None
        folder = next(tmp_path.iterdir())
        first = {lock.name for lock in folder.glob("*.lock")}
        hub.process.send_signal(signal.SIGHUP)
        wait_until(lambda: {lock.name for lock in folder.glob("*.lock")} - first != set())
        wait_until(lambda: value_of(scrape(hub), "hub_processes", role="web") == 1)
        after = scrape(hub)
        assert value_of(after, "hub_webhooks_total", source="aurora-unsigned", status="200") == 1
        assert value_of(after, "hub_webhook_duration_seconds_count", source="aurora-unsigned") == 1
