"""Paths for machines outside the console: refused in JSON, with the headers and the request id of every other answer."""

import logging
import uuid
from typing import Any

import pytest
from django.test import Client

from integration_hub.logs import LineFormatter
from tests.support.builders.settings_rows import connection, connection_form
from tests.support.http.machine_answers import assert_sound_answer
from tests.support.people import browser, circumstances

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

SECURITY_HEADERS = {
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def send(method: str, path: str, **headers: str) -> Any:
    client = Client(raise_request_exception=False, enforce_csrf_checks=True)
    return client.generic(method, path, b"{}", headers=headers)


@pytest.mark.parametrize(
    "path", ["/live", "/health", "/problems/too-large", "/problems/unheard-of", "/", "/admin"]
)
def test_read_only_paths_name_the_allowed_methods(path: str) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        answer = send(method, path)
        assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")
        assert assert_sound_answer(answer)["code"] == "wrong-method"
    if path == "/health":
        assert send("HEAD", path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/nothing", "/webhooks", "/outcomes/unknown", "/problems/unheard-of", "/health/"]
)
def test_a_refusal_has_the_security_headers_of_every_answer(path: str, settings: Any) -> None:
    settings.SECURE_HSTS_SECONDS = 60
    answer = send("GET", path)
    assert answer.status_code == 404
    assert_sound_answer(answer)
    assert {name: answer[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


@pytest.mark.parametrize("path", ["/health", "/problems/too-large"])
def test_machine_responses_are_not_cached(path: str) -> None:
    answer = send("GET", path)
    assert (answer["Cache-Control"], answer["X-Content-Type-Options"]) == ("no-store", "nosniff")


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
