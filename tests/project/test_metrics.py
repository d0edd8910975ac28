"""`GET /metrics` shows what the hub measures to whoever has the token, and is no page for everybody else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics

from sync.metrics.declared import ALL_METRICS
from sync.metrics.process_metrics import MeasuredProcess, count_request
from sync.monitoring import metric_figures
from tests.support.hub import EXAMPLE, Hub
from tests.support.metrics import (
    TOKEN,
    get_metrics,
    measured_hub,
    parse_series,
    scrape,
    value_of,
    wait_for_metric,
)


@pytest.fixture
def measured(tmp_path: Path) -> Iterator[MeasuredProcess]:
    with measured_hub(tmp_path) as process:
        yield process


@pytest.mark.django_db
@pytest.mark.one_database
def test_there_is_no_such_page_without_the_token(measured: MeasuredProcess, settings: Any) -> None:
    client = Client()
    unknown = client.get("/metricz")
    for wrong in (f"{TOKEN}x", TOKEN[:-1], "", "ä", f" {TOKEN.lower()}"):
        response = get_metrics(client, wrong)
        assert (response.status_code, response.json()) == (404, unknown.json()), wrong
    basic = client.get("/metrics", headers={"Authorization": f"Basic {TOKEN}"})
    assert (basic.status_code, client.get("/metrics").status_code) == (404, 404)
    assert client.post("/metrics", b"{}", "application/json").json() == unknown.json()
    with_token = {"Authorization": f"Bearer {TOKEN}"}
    assert [
        client.generic(method, "/metrics", headers=with_token).status_code for method in ("HEAD", "POST")
    ] == [200, 405]
    settings.METRICS_TOKEN = ""
    assert [get_metrics(client, token).status_code for token in ("", TOKEN)] == [404, 404]


@pytest.mark.django_db
@pytest.mark.one_database
def test_a_scrape_by_ip_address_needs_no_host_name_no_session_and_no_redirect(
    measured: MeasuredProcess, settings: Any
) -> None:
    settings.ALLOWED_HOSTS, settings.SECURE_SSL_REDIRECT = ["hub.example.com"], True
    response = get_metrics(Host="10.1.2.3:8000")
    assert (response.status_code, response["Cache-Control"], response.cookies) == (200, "no-store", {})
    assert "Vary" not in response
    assert get_metrics(Client(), "wrong", Host="10.1.2.3:8000").status_code == 404
    assert Client().get("/admin/", headers={"Host": "10.1.2.3:8000"}).status_code == 400


@pytest.mark.django_db
def test_the_figures_cost_one_statement_and_a_second_scrape_none(measured: MeasuredProcess) -> None:
    with CaptureQueriesContext(connection) as captured:
        get_metrics()
        Client().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert len([query for query in captured if "sync_eventcount" in query["sql"]]) == 1
    assert len(captured) == 1


@pytest.mark.django_db
def test_both_formats_are_well_formed_and_have_every_declared_metric(measured: MeasuredProcess) -> None:
    """Every family is declared, with these labels; `tests/sync/metrics/test_alert_rules.py` has promtool look too."""
    count_request('a"b\\c\n', "fetch", "target-timeout", 0.2)
    text = get_metrics()
    series = parse_series(text.content.decode())
    assert text["Content-Type"].startswith("text/plain; version=0.0.4")
    assert series["hub_database_up", frozenset()] == 1
    opened = get_metrics(Accept="application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
    assert opened["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in parse_open_metrics(opened.content.decode())}
    declared = {metric.family: metric for metric in ALL_METRICS}
    for name, family in families.items():
        assert (family.type, family.documentation) == (declared[name].kind, declared[name].meaning)
        assert all(set(sample.labels) - {"le"} == set(declared[name].labels) for sample in family.samples)
    assert value_of(series, "hub_request_failures_total", connection='a"b\\c\n') == 1


def test_a_webhook_is_measured_from_its_request_to_its_delivery(hub: Hub, measured: MeasuredProcess) -> None:
    hub.change_email("anna@new.example")
    assert hub.post_signed(EXAMPLE).status_code == 200
    # The source is answered before the thread of the delivery has ended. Read again then: the first reading may have
    # read the other metrics before it ended.
    wait_for_metric("hub_delivery_duration_seconds_count")
    series = scrape()
    assert value_of(series, "hub_webhooks_total", source="aurora", outcome="succeeded", status="200") == 1
    assert value_of(series, "hub_webhook_duration_seconds_count", source="aurora") == 1
    assert value_of(series, "hub_attempts_total", outcome="succeeded", owner="nobody") == 1
    assert value_of(series, "hub_delivery_duration_seconds_count", state="succeeded") == 1
    assert value_of(series, "hub_request_duration_seconds_count", connection="aurora", purpose="fetch") == 1
    assert value_of(series, "hub_request_duration_seconds_count", connection="shop", purpose="update") == 1
    assert value_of(series, "hub_request_failures_total") == 0
    assert value_of(series, "hub_attempts_running") == 0
    assert value_of(series, "hub_http_threads") == 32


def test_a_stranger_adds_no_label(hub: Hub, measured: MeasuredProcess) -> None:
    client = Client()
    for number in range(5):
        client.get(f"/webhooks/guess-{number}")
        client.post(f"/webhooks/guess-{number}", b"{}", "application/json")
    series = scrape()
    assert value_of(series, "hub_webhooks_total", source="other") == 10
    assert value_of(series, "hub_webhooks_total") == 10


@pytest.mark.django_db
def test_the_processes_are_shown_while_the_database_is_away(
    measured: MeasuredProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_request("shop", "fetch", "", 0.2)
    broken = metric_figures.Statement("SELECT none FROM nowhere")
    monkeypatch.setitem(metric_figures._FIGURES, connection.vendor, broken)
    series = scrape()
    assert series["hub_database_up", frozenset()] == 0
    assert value_of(series, "hub_request_duration_seconds_count", connection="shop") == 1
    assert value_of(series, "hub_deliveries") == 0
