"""A secret verifies only webhooks of the source and the scheme that it was entered for, and hides no other if it does
not.

No other test changes the rows of secrets past their models and then sends what they would verify.
"""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from tests.console.settings.source_pages import page_of, source_form
from tests.support.pages import visible_text
from tests.support.people import browser, save
from webhooks.models import Source, SourceSecret
from webhooks.receiving.source_cache import find_source

pytestmark = pytest.mark.django_db

CLIENT = Client(raise_request_exception=False)
OWN, OF_OTHER = "a-token-of-the-own-sender-0001", "a-token-of-the-other-sender-02"
BODY = {"id": "X1", "entityType": "DEVICE", "eventType": "UPDATE"}


@pytest.fixture
def own() -> SourceSecret:
    return add_source("own", OWN)


@pytest.fixture
def other() -> SourceSecret:
    return add_source("other", OF_OTHER)


def add_source(slug: str, token: str, scheme: str = "bearer") -> SourceSecret:
    source = Source.objects.create(slug=slug, name=slug, scheme=scheme)
    return SourceSecret.objects.create(source=source, value=token, hint=token[-4:])


def execute(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
    find_source.invalidate()


def send(slug: str, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return CLIENT.post(
        f"/webhooks/{slug}", BODY, content_type="application/json", headers=headers
    ).status_code


def move_row(own: SourceSecret, other: SourceSecret) -> None:
    execute("UPDATE webhooks_sourcesecret SET source_id = %s WHERE id = %s", own.source_id, other.pk)


def copy_value(own: SourceSecret, other: SourceSecret) -> None:
    spare = SourceSecret.objects.create(source=own.source, value="c" * 32, hint="cccc")
    execute(
        "UPDATE webhooks_sourcesecret SET value = (SELECT o.value FROM webhooks_sourcesecret o WHERE o.id = %s)"
        " WHERE id = %s",
        other.pk, spare.pk,
    )  # fmt: skip


def copy_value_and_id(own: SourceSecret, other: SourceSecret) -> None:
    copy_value(own, other)
    other.delete()
    SourceSecret.objects.filter(hint="cccc").update(uuid=other.uuid)


@pytest.mark.promise("I35")
@pytest.mark.parametrize("tamper", [move_row, copy_value, copy_value_and_id], ids=lambda one: one.__name__)
def test_a_secret_of_another_source_proves_nothing_and_hides_no_other(
    own: SourceSecret, other: SourceSecret, tamper: Callable[[SourceSecret, SourceSecret], None]
) -> None:
    tamper(own, other)
    find_source.invalidate()
    assert send("own", OF_OTHER) == 401
    assert send("own", OWN) == 200, "the secret of the source itself goes on"


def test_a_secret_of_another_scheme_proves_nothing_after_the_scheme_was_changed(own: SourceSecret) -> None:
    """The key of an HMAC, which its sender never sends, is no token that anyone who learns it may send."""
    key = add_source("signed", "k" * 32, "body-hmac")
    execute("UPDATE webhooks_source SET scheme = 'bearer' WHERE id = %s", key.source_id)
    assert send("signed", "k" * 32) == 401
    text = visible_text(browser("administrator").get(page_of(key.source)))
    assert "does not match the verification" in text
    assert "No active secret" in text


def test_a_person_who_changes_the_scheme_keeps_the_secrets_that_fit(own: SourceSecret) -> None:
    form = source_form(name="own", slug="own", scheme="header", scheme_settings='{"header": "X-Token"}')
    save(browser("administrator"), page_of(own.source), form)
    find_source.invalidate()
    headers = {"X-Token": OWN}
    answer = CLIENT.post("/webhooks/own", BODY, content_type="application/json", headers=headers)
    assert answer.status_code == 200
    assert SourceSecret.objects.get().value == OWN
