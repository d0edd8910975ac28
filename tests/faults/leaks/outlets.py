"""Everything that leaves the hub or is stored: answers, pages of each role, log lines, rows and decrypted payloads."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.apps import apps
from django.db import models
from django.http import HttpResponse
from django.test import Client

from integration_hub.logs import LineFormatter
from sync.models import Connection
from tests.support.people import browser
from webhooks.models import Event, Payload

ROLES = ("support", "auditor", "administrator")
LISTS = ("webhooks/event", "sync/failuregroup", "audit/entry", "sync/connection")
OWN_APPS = ("audit", "webhooks", "sync", "exports", "console")


class LogLines(logging.Handler):
    """Collects every log line, in both formats."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self._formatters = (LineFormatter("text"), LineFormatter("json"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += [one.format(record) for one in self._formatters]


@contextmanager
def collected_lines() -> Iterator[list[str]]:
    """Yield the lines that all loggers write meanwhile, from DEBUG on."""
    handler, root = LogLines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield handler.lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def log_in() -> dict[str, Client]:
    """Return the logged-in client of each role."""
    return {role: browser(role) for role in ROLES}


def texts_of_answer(answer: HttpResponse) -> Iterator[str]:
    yield answer.content.decode("utf-8", "replace")
    yield from answer.headers.values()


def texts_of_event(client: Client, event: Event) -> Iterator[str]:
    """Yield what a person reads of an event."""
    yield client.get(f"/admin/webhooks/event/{event.pk}/change/").content.decode("utf-8", "replace")


def text_of_list(client: Client, path: str) -> str:
    return client.get(f"/admin/{path}/").content.decode("utf-8", "replace")


def texts_of_lists(client: Client) -> Iterator[str]:
    """Yield what a person reads of all events, of the failures, of the audit log and of the connections."""
    for path in LISTS:
        yield text_of_list(client, path)


def texts_of_preview(client: Client, event: Event) -> Iterator[str]:
    """Yield the page that plans a replay with the live systems."""
    yield client.get(f"/admin/webhooks/event/{event.pk}/replay/").content.decode("utf-8", "replace")


def texts_of_test(client: Client) -> Iterator[str]:
    """Yield what a test of each connection shows."""
    for connection in Connection.objects.all():
        answer = client.post(f"/admin/sync/connection/{connection.pk}/test/", follow=True)
        yield answer.content.decode("utf-8", "replace")


def stored_texts() -> Iterator[str]:
    """Yield every stored text: all columns but bytes, and each payload decrypted. Exports hold no more."""
    yield from stored_columns()
    yield from decrypted_payloads()


def decrypted_payloads() -> Iterator[str]:
    """Yield each payload decrypted."""
    for payload in Payload.objects.select_related("subject"):
        yield payload.decrypt().decode("utf-8", "replace")


def stored_columns() -> Iterator[str]:
    """Yield the rows of all tables without their bytes: encrypted values, payloads, and digests."""
    for app in OWN_APPS:
        for model in apps.get_app_config(app).get_models():
            fields = (
                field for field in model._meta.concrete_fields if not isinstance(field, models.BinaryField)
            )
            names = [field.attname for field in fields]
            for row in model._base_manager.values_list(*names):
                yield json.dumps([str(value) for value in row], ensure_ascii=False)
