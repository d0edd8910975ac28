"""A log of the version before becomes a chained one, and the version before goes on writing meanwhile."""

import json
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from audit.log import Happening, append
from audit.models import Entry, Stub
from audit.sealing import seal
from sync.clock import read_clock
from tests.support.audit.chain_faults import faults
from tests.support.audit.entries import BOX, missed
from tests.support.audit.unchained_entries import write_as_before


def migrate(name: str) -> None:
    executor = MigrationExecutor(connection)
    executor.migrate([("audit", name)])


@pytest.fixture
def before(database: None) -> Any:
    """The tables of the version before, with what it wrote; the newest ones afterwards."""
    migrate("0002_insert_only")
    yield
    call_command("migrate", "audit", verbosity=0)


def refused(statement: str) -> str:
    with pytest.raises(DatabaseError) as caught, connection.cursor() as cursor:
        cursor.execute(statement)
    return str(caught.value).splitlines()[0]


def test_a_log_of_the_version_before_is_chained_by_the_migration(before: None) -> None:
    for number in range(1_203):
        write_as_before(f"event:{number % 7}", number)
    assert refused("UPDATE audit_entry SET body = ''") == "audit entries are insert-only"
    call_command("migrate", "audit", verbosity=0)
    assert faults() == []
    assert Entry.objects.filter(stream_seq__isnull=False).count() == 1_203
    bodies = [json.loads(each) for each in Entry.objects.order_by("id").values_list("body", flat=True)]
    assert [each["details"]["number"] for each in bodies] == list(range(1_203))
    assert {each["v"] for each in bodies} == {1}
    for statement in ("UPDATE audit_entry SET body = ''", "DELETE FROM audit_entry"):
        assert refused(statement) == "audit entries are insert-only"
    write_as_before("event:0", 2_000)
    for _ in range(2):  # the first also begins a key, which is an entry too
        seal(BOX, read_clock())
    assert missed() == 0
    assert faults() == []
    call_command("verify_audit")


def test_the_version_before_finds_the_ends_of_streams_again(database: None) -> None:
    """What it kept beside the entries is made of them when a migration is taken back."""
    with transaction.atomic():
        append(Happening("event:a", "test.one"), Happening("event:a", "test.two"), Happening("event:b", "x"))
    Stub.objects.create(stream="event:gone", seq=7, leaf=bytes(32), segment=1)
    migrate("0009_retention")
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT stream, seq FROM audit_head ORDER BY stream")
            assert [tuple(each) for each in cursor.fetchall()] == [
                ("event:a", 2),
                ("event:b", 1),
                ("event:gone", 7),
            ]
    finally:
        call_command("migrate", "audit", verbosity=0)
    assert faults() == []


def test_the_triggers_of_the_version_before_come_back_with_it(before: None) -> None:
    write_as_before("event:a", 1)
    migrate("0006_sealing_insert_only")
    migrate("0002_insert_only")
    for statement in ("UPDATE audit_entry SET body = ''", "DELETE FROM audit_entry"):
        assert refused(statement) == "audit entries are insert-only"
