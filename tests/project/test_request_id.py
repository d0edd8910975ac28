"""Each response names its request by an id of the hub's own, which its audit entries and log lines have too."""

import logging
import uuid

import pytest
from django.test import Client

from integration_hub.logs import LineFormatter
from tests.support.builders.settings_rows import connection, connection_form
from tests.support.people import browser, circumstances

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


def test_the_id_is_new_for_each_request_and_never_that_of_the_client() -> None:
    sent = {"X-Request-Id": "of-the-client", "hub.request_id": "of-the-client"}
    paths = 2 * ("/health", "/nowhere", "/webhooks/none", "/admin/login/")
    ids = [Client().post(path, headers=sent).headers["X-Request-Id"] for path in paths]
    assert len({*ids}) == len(paths)
    assert [str(uuid.UUID(one)) for one in ids] == ids


def test_an_audit_entry_has_the_id_of_the_response() -> None:
    of = connection()
    client = browser("administrator")
    confirm = client.post(f"/admin/sync/connection/{of.pk}/change/", connection_form(of, name="Other"))[
        "Location"
    ]
    page = client.get(confirm)
    answer = client.post(confirm, {"reason": "asked for", "seen": page.context["seen"]})
    assert [by["request"] for by in circumstances("connection.changed")] == [answer.headers["X-Request-Id"]]


def test_a_line_outside_a_request_has_no_id() -> None:
    record = logging.LogRecord("hub", logging.INFO, "", 1, "counted", (), None)
    assert "request_id" not in LineFormatter("json").format(record)
