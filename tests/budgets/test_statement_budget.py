"""The statements and commits of one webhook, listed, so that they cannot grow unnoticed."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from database import statement
from sync.execution.executor import run_due_deliveries
from tests.support.database.write_batches import split_statement
from tests.support.hub import EXAMPLE, Hub, new_sealing_key
from tests.support.simultaneous_webhooks import SimultaneousWebhooks

pytestmark = pytest.mark.concurrent

TABLE = re.compile(r'(?:FROM|INTO|UPDATE)\s+"?(\w+)')
VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE")
ACK = EXAMPLE[:-1] + b',"respond":"ack"}'
KEY = ["SELECT webhooks_subjectkey"]  # what seals all that is kept of this person
RECEIVED = [
    "INSERT webhooks_payload",  # the body, and of `ack` the answer
    "INSERT webhooks_event",
    "INSERT webhooks_receipt",
    "INSERT sync_delivery",
]
LOGGED = ["INSERT audit_entry"]
SENT = [  # promise I3: on record before the first byte of a write, with a lease that proves the claim
    "SELECT sync_delivery",
    "INSERT webhooks_payload",
    "INSERT sync_call",
]
SETTLED = [
    "UPDATE sync_delivery",
    "UPDATE sync_link",
    "INSERT webhooks_payload",  # before and after, what was read, what was answered, and our own answer
]
ENDED = [
    "INSERT sync_call",  # the reads
    "UPDATE sync_attempt",
    "UPDATE sync_call",  # the write
]
ENDED_TOO = ["UPDATE webhooks_event", "INSERT audit_entry"]
RESULT = [
    *SENT,
    *SETTLED,
    *ENDED,
    "UPDATE webhooks_receipt",
    *ENDED_TOO,
    "SELECT sync_delivery",  # who waited behind it
]
LOADED = ["SELECT sync_delivery"]  # with its event, the webhook's body and the key of the person
CLAIMED = [
    "SELECT sync_delivery",  # what is open for this person, locked
    "UPDATE sync_delivery",
    "INSERT sync_attempt",
    *LOGGED,
]
DELIVERED = [
    "SELECT sync_link",
    *SENT,
    *SETTLED,
    *ENDED,
    *ENDED_TOO,
    "SELECT sync_delivery",
]
# Round trips to PostgreSQL, but for those that begin and end a transaction, where there is one.
TRIPS = {"result": 6, "ack": 2, "worker": 10}
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
    """The statements and commits of all threads."""

    statements: list[str] = field(default_factory=list)
    commits: int = 0
    trips: int = 0

    def note(self, sql: str) -> None:
        """Record a statement. Parts of a PostgreSQL batch count as on SQLite: rows of one table are one statement."""
        known = len(self.statements)
        for part in split_statement(sql):
            verb = part.split(None, 1)[0]
            # Not the table that a column of the statement is looked up in.
            table = TABLE.search(re.sub(r"\(SELECT [^()]*\)", "", part)) or TABLE.search(part)
            if table and table[1] not in READ_ONCE_A_SECOND and verb in VERBS:
                named = f"{verb} {table[1]}"
                if named not in self.statements[known:]:
                    self.statements.append(named)
        self.trips += len(self.statements) > known


@pytest.fixture
def watched(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Everything that goes to the database, past the ORM or through it, from any thread."""
    hub.change_email("anna.warm@example.com")
    assert hub.post_signed(EXAMPLE).status_code == 200
    hub.wait_until_quiet()
    seen = Watched()
    execute, wrapped, commit = (
        statement.execute_sql,
        CursorWrapper._execute_with_wrappers,
        BaseDatabaseWrapper.commit,
    )

    def past_the_orm(connection: Any, sql: str, *args: Any, **kwargs: Any) -> Any:
        seen.note(sql)
        seen.commits += sql.startswith("WITH") and not connection.in_atomic_block
        return execute(connection, sql, *args, **kwargs)

    def through_the_orm(self: Any, sql: str, *args: Any, **kwargs: Any) -> Any:
        seen.note(sql)
        return wrapped(self, sql, *args, **kwargs)

    def counted(self: Any) -> Any:
        seen.commits += 1
        return commit(self)

    monkeypatch.setattr(statement, "execute_sql", past_the_orm)
    monkeypatch.setattr(CursorWrapper, "_execute_with_wrappers", through_the_orm)
    monkeypatch.setattr(BaseDatabaseWrapper, "commit", counted)
    return seen


def test_a_webhook_whose_source_waits_for_the_result(hub: Hub, watched: Watched) -> None:
    hub.change_email("anna.budget@example.com")
    assert b'"updated"' in hub.post_signed(EXAMPLE).content
    hub.wait_until_quiet()
    assert watched.statements == [
        *KEY,
        "SELECT sync_delivery",  # what else is open for this person, and their record
        *KEY,  # that it is not destroyed
        *RECEIVED,
        "INSERT sync_attempt",
        *LOGGED,
        *RESULT,
    ]
    assert watched.commits == 3, "stored and claimed; recorded before sending; settled and answered"
    assert watched.trips == trips("result", watched)


def test_a_webhook_that_changes_a_value_by_which_the_person_is_found(
    hub: Hub, watched: Watched, settings: Any
) -> None:
    settings.SEARCH_KEYS = [new_sealing_key()]
    hub.change_email("anna.before@example.com")
    hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    watched.statements.clear()
    watched.commits = watched.trips = 0
    hub.change_email("anna.budget@example.com")
    assert b'"updated"' in hub.post_signed(EXAMPLE).content
    hub.wait_until_quiet()
    assert sorted(set(watched.statements) - {*KEY, *RECEIVED, *LOGGED, *RESULT, "INSERT sync_attempt"}) == [
        "INSERT sync_searchdigest",
        "UPDATE sync_searchdigest",
        "UPDATE webhooks_subjectkey",
    ]
    assert watched.commits == 3, "none for the digests: they are stored by the commit that settles"
    assert watched.trips == trips("result", watched) + (connection.vendor == "postgresql")


def test_a_webhook_of_a_new_person(hub: Hub, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.delivery_service.defer_to_workers", lambda _: None)
    assert hub.post_signed(ACK.replace(b"1234", b"9876")).status_code == 202
    assert watched.statements == [*KEY, "INSERT webhooks_subjectkey", *RECEIVED, *LOGGED]
    assert watched.commits == 1
    run_due_deliveries()


def test_a_webhook_that_is_acknowledged(hub: Hub, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.delivery_service.defer_to_workers", lambda _: None)
    hub.change_email("anna.budget@example.com")
    assert hub.post_signed(ACK).status_code == 202
    assert watched.statements == [*KEY, *KEY, *RECEIVED, *LOGGED]
    assert watched.commits == 1
    assert watched.trips == trips("ack", watched)
    run_due_deliveries()


def test_a_delivery_that_a_worker_runs(hub: Hub, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.delivery_service.defer_to_workers", lambda _: None)
    hub.change_email("anna.budget@example.com")
    assert hub.post_signed(ACK).status_code == 202
    watched.statements.clear()
    watched.commits = watched.trips = 0
    assert run_due_deliveries() == 1
    sweep = ["SELECT sync_delivery", "SELECT sync_delivery"]  # leases that ended, and what is due
    assert watched.statements == [*sweep, *LOADED, *CLAIMED, *DELIVERED]
    assert watched.commits == 3
    assert watched.trips == trips("worker", watched)


def trips(way: str, watched: Watched) -> int:
    return TRIPS[way] if connection.vendor == "postgresql" else len(watched.statements)


def test_webhooks_that_are_stored_together(watched: Watched, together: SimultaneousWebhooks) -> None:
    """They share one commit and the statements of one webhook."""
    sent = [(json.loads(ACK) | {"id": f"U{number}"}, f"msg_{number}") for number in range(9)]
    assert {answer.status_code for answer in together.send(*sent)} == {202}
    new = ["INSERT webhooks_subjectkey", *RECEIVED, *LOGGED]
    assert together.sizes == [1, 8]
    assert watched.statements == [*KEY, *new, *KEY, *new]
    assert watched.commits == 2
