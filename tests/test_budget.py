"""What one webhook costs in statements and commits, listed, so that they cannot creep up."""

import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from audit import statements
from sync.tasks import run_due
from tests.hub import EXAMPLE, Hub

VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE")
ACK = EXAMPLE[:-1] + b',"respond":"ack"}'
APPENDED = ["INSERT audit_head", "INSERT audit_entry"]  # the ends of the streams, locked and moved on
STORED = [
    "SELECT webhooks_subjectkey",  # what seals all that is kept of this person
    "INSERT webhooks_payload",  # the body, and of `ack` the answer
    "INSERT webhooks_event",
    "INSERT sync_delivery",
    "INSERT webhooks_receipt",
    *APPENDED,
]
SENT = [  # promise I3: on record before the first byte of a write, with a lease that proves the claim
    "SELECT sync_delivery",
    "INSERT webhooks_payload",
    "INSERT sync_call",
]
SETTLED = [
    "UPDATE sync_delivery",
    "INSERT webhooks_payload",  # before and after, what was read, what was answered, and our own answer
    "INSERT audit_head",
]
ENDED = [  # these travel together to PostgreSQL
    "UPDATE sync_attempt",
    "INSERT sync_call",  # the reads
    "UPDATE sync_call",  # the write
]
ENDED_TOO = ["UPDATE webhooks_event", "INSERT audit_entry", "UPDATE sync_link"]
RESULT = [
    *STORED[:3],
    "SELECT sync_delivery",  # what else is open for this person
    "INSERT sync_delivery",
    "INSERT sync_attempt",
    "SELECT sync_link",
    *STORED[4:],
    *SENT,
    *SETTLED,
    *ENDED,
    "UPDATE webhooks_receipt",
    *ENDED_TOO,
    "SELECT sync_delivery",  # who waited behind it
]
CLAIMED = [
    "SELECT sync_delivery",  # with its event, the webhook's body and the key of the person
    "SELECT sync_delivery",
    "UPDATE sync_delivery",
    "INSERT sync_attempt",
    *APPENDED,
]
DELIVERED = [
    *CLAIMED,
    "SELECT sync_link",
    *SENT,
    *SETTLED,
    *ENDED,
    *ENDED_TOO,
    "SELECT sync_delivery",
]
# So many statements of the settling need no round trip to PostgreSQL of their own.
TOGETHER = {"result": 6, "ack": 0, "worker": 5}
READ_ONCE_A_SECOND = {
    "webhooks_source",
    "webhooks_sourcesecret",
    "sync_route",
    "sync_mappingversion",
    "sync_breaker",
    "webhooks_pepper",
}


@dataclass
class Watched:
    """What all threads did."""

    statements: list[str] = field(default_factory=list)
    commits: int = 0
    trips: int = 0

    def note(self, sql: str) -> None:
        """What travels together to PostgreSQL counts one by one, as it runs there and on SQLite."""
        parts = len(self.statements)
        for part in re.findall(r"AS \((.*?) RETURNING 1\)", sql) if sql.startswith("WITH w0") else [sql]:
            verb = part.split(None, 1)[0]
            table = re.search(r'(?:FROM|INTO|UPDATE)\s+"?(\w+)', part)
            if table and table[1] not in READ_ONCE_A_SECOND and verb in VERBS:
                self.statements.append(f"{verb} {table[1]}")
        self.trips += len(self.statements) > parts

    def spared(self) -> int:
        """Statements that needed no round trip of their own."""
        return len(self.statements) - self.trips


@pytest.fixture
def watched(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Everything that goes to the database, past the ORM or through it, from any thread."""
    hub.change_email("anna.warm@example.com")
    assert hub.post_signed(EXAMPLE).status_code == 200
    hub.wait_until_quiet()
    seen = Watched()
    execute, wrapped, commit = (
        statements.execute,
        CursorWrapper._execute_with_wrappers,
        BaseDatabaseWrapper.commit,
    )

    def past_the_orm(connection: Any, sql: str, *args: Any, **kwargs: Any) -> Any:
        seen.note(sql)
        return execute(connection, sql, *args, **kwargs)

    def through_the_orm(self: Any, sql: str, *args: Any, **kwargs: Any) -> Any:
        seen.note(sql)
        return wrapped(self, sql, *args, **kwargs)

    def counted(self: Any) -> Any:
        seen.commits += 1
        return commit(self)

    monkeypatch.setattr(statements, "execute", past_the_orm)
    monkeypatch.setattr(CursorWrapper, "_execute_with_wrappers", through_the_orm)
    monkeypatch.setattr(BaseDatabaseWrapper, "commit", counted)
    return seen


def test_a_webhook_whose_source_waits_for_the_result(hub: Hub, watched: Watched) -> None:
    hub.change_email("anna.budget@example.com")
    assert b'"updated"' in hub.post_signed(EXAMPLE).content
    hub.wait_until_quiet()
    assert watched.statements == RESULT
    assert watched.commits == 3, "stored and claimed; on record before it is sent; settled and told"
    assert watched.spared() == spared("result")


def test_a_webhook_of_somebody_new(hub: Hub, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.service.defer", lambda _: None)
    assert hub.post_signed(ACK.replace(b"1234", b"9876")).status_code == 202
    assert watched.statements == [STORED[0], "INSERT webhooks_subjectkey", *STORED[1:]]
    assert watched.commits == 1
    run_due()


def test_a_webhook_that_is_acknowledged(hub: Hub, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.service.defer", lambda _: None)
    hub.change_email("anna.budget@example.com")
    assert hub.post_signed(ACK).status_code == 202
    assert watched.statements == STORED
    assert watched.commits == 1
    assert watched.spared() == spared("ack")
    run_due()


def test_a_delivery_that_a_worker_makes(hub: Hub, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.service.defer", lambda _: None)
    hub.change_email("anna.budget@example.com")
    assert hub.post_signed(ACK).status_code == 202
    watched.statements.clear()
    watched.commits = watched.trips = 0
    assert run_due() == 1
    sweep = ["SELECT sync_delivery", "SELECT sync_delivery"]  # leases that ended, and what is due
    assert watched.statements == [*sweep, *DELIVERED]
    assert watched.commits == 3
    assert watched.spared() == spared("worker")


def spared(way: str) -> int:
    return TOGETHER[way] if connection.vendor == "postgresql" else 0
