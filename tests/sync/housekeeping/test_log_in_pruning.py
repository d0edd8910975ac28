"""Refusals of log-ins are deleted once no connection would send them, and never before."""

from datetime import timedelta
from typing import Any

import pytest

from connectors.registry import find_log_in_key
from database.clock import read_clock
from sync.housekeeping.log_in_pruning import REFUSED_RETENTION, UNDECIDED_RETENTION
from sync.housekeeping.retention_rules import prune_expired
from sync.models import Connection, LogInAttempt

pytestmark = pytest.mark.django_db

AUTHENTICATION: dict[str, Any] = {
    "scheme": "session",
    "log_in": {
        "path": "/login",
        "body": {"user": {"expression": "username"}, "password": {"expression": "password"}},
    },
    "token": {"path": "token"},
}
CREDENTIALS = {"username": "hub", "password": "not-the-password"}
OLD = REFUSED_RETENTION + timedelta(minutes=1)
MINUTE = timedelta(minutes=1)


def a_connection(slug: str, authentication: dict[str, Any]) -> Connection:
    return Connection.objects.create(
        slug=slug,
        name=slug,
        side="target",
        connector="rest-target",
        base_url="https://shop.example.com",
        authentication=authentication,
        credentials=CREDENTIALS,
    )


@pytest.fixture
def shop() -> Connection:
    return a_connection("shop", AUTHENTICATION)


def refuse(connection: Connection, age: timedelta = OLD) -> str:
    key = find_log_in_key(
        connection.connector, connection.base_url, connection.authentication, connection.credentials
    )
    assert key is not None
    row = LogInAttempt.objects.create(key=LogInAttempt.digest_key(key), refused_at=read_clock() - age)
    return row.key


def remaining() -> set[str]:
    prune_expired()
    return set(LogInAttempt.objects.values_list("key", flat=True))


def test_a_refusal_of_present_credentials_is_never_pruned(shop: Connection) -> None:
    key = refuse(shop, timedelta(days=4_000))
    shop.is_enabled = False
    shop.save()
    assert remaining() == {key}


@pytest.mark.parametrize(
    "change",
    [
        {"credentials": {**CREDENTIALS, "password": "another"}},
        {"credentials": None},
        {"base_url": "https://other.example.com"},
        {"authentication": {**AUTHENTICATION, "log_in": {**AUTHENTICATION["log_in"], "path": "/rpc"}}},
        {"authentication": {"scheme": "bearer"}, "credentials": {"token": "t" * 20}},
    ],
)
def test_a_refusal_of_replaced_credentials_is_deleted_after_its_retention(
    shop: Connection, change: dict[str, Any]
) -> None:
    key = refuse(shop, REFUSED_RETENTION - MINUTE)
    for name, value in change.items():
        setattr(shop, name, value)
    shop.save()
    assert remaining() == {key}, "the change may be undone"
    LogInAttempt.objects.update(refused_at=read_clock() - OLD)
    assert remaining() == set()


def test_the_refusal_of_a_deleted_connection_is_deleted(shop: Connection) -> None:
    refuse(shop)
    shop.delete()
    assert remaining() == set()


def test_a_log_in_in_progress_is_not_pruned(shop: Connection) -> None:
    now = read_clock()
    LogInAttempt.objects.create(key="under-way", busy_until=now + MINUTE)
    LogInAttempt.objects.create(key="undecided", busy_until=now - UNDECIDED_RETENTION - MINUTE)
    LogInAttempt.objects.create(key="ended")
    assert remaining() == {"under-way"}


def test_no_refusal_is_deleted_while_a_connection_cannot_be_read(shop: Connection) -> None:
    key = refuse(shop)
    shop.credentials = {**CREDENTIALS, "password": "another"}
    shop.save()
    a_connection("broken", {"scheme": "session"})
    assert remaining() == {key}
