"""Queries of each second and each minute do not grow with the log: an index bounds them."""

from random import Random

import pytest
from django.db import connection, transaction

from audit.entries.append import NewEntry, append_entries
from audit.entries.search import filter_by_action, filter_by_people
from audit.models import Entry
from audit.models.entry import ROUTINE_ACTIONS
from audit.sealing.publish_checkpoints import PublishChannel, publish_checkpoint
from audit.sealing.seal import seal_entries
from audit.sealing.status import sealing_status
from console.audit_log.entry_filter import ACTION_GROUPS
from tests.support.audit.entries import CIPHER, after_start, append_test_entries, write_history
from tests.support.builders.history import logged_in
from tests.support.database.query_plans import SeenStatement, find_full_scans, recorded_statements

FEW = ("audit_checkpointchannel", "audit_signingkey")  # a handful of rows, whatever is stored


def unserved(seen: list[SeenStatement]) -> list[str]:
    """Statements that read more than an index leads them to: neither bounded by it, nor ended by a LIMIT that takes
    rows in its order. What a LIMIT is to end has to be in order even where it is bounded: the bound may be most of it.
    """
    with transaction.atomic():
        if connection.vendor == "postgresql":
            connection.cursor().execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        whole = find_full_scans(connection, seen)
        unordered = {
            statement.sql
            for statement in seen
            if is_cut(statement.sql) and not is_in_order(statement.plan(connection))
        }
    unbounded = {sql for sql in whole if not is_cut(sql)}
    return [sql for sql in sorted(unordered | unbounded) if not any(table in sql for table in FEW)]


def is_cut(sql: str) -> bool:
    return "LIMIT" in sql and "ORDER BY" in sql


def is_in_order(plan: list[str]) -> bool:
    text = "\n".join(plan)
    return not any(word in text for word in ("Seq Scan", "TEMP B-TREE", "Sort"))


def test_the_sealer_and_the_checkpoints_find_their_rows_by_an_index(database: None) -> None:
    end = write_history(Random(1), segments=9, most=4)
    append_test_entries("event:a", "event:new", at=end)
    with recorded_statements() as seen:
        seal_entries(CIPHER, end)
        seal_entries(CIPHER, after_start(9_000))
        publish_checkpoint(
            CIPHER, end, {"nowhere": PublishChannel(lambda *_: None, after_start(1) - after_start(0))}
        )
        sealing_status()
    asked = {statement.sql.split(" FROM ")[-1].split()[0].strip('"') for statement in seen}
    assert {"audit_entry", "audit_segment", "audit_checkpoint", "audit_signingkey"} <= asked
    assert unserved(seen) == []


@pytest.mark.submission
def test_a_page_of_the_audit_log_takes_rows_in_the_order_of_an_index(database: None) -> None:
    with transaction.atomic():  # enough for one person's own index to pay, and more of what no person did
        append_entries(
            *(NewEntry("event:a", "event.replayed", f"person:{number % 400}") for number in range(2_000))
        )
        append_entries(*(NewEntry("event:b", "webhook.received", "system") for _ in range(2_000)))
    if connection.vendor == "postgresql":
        connection.cursor().execute("ANALYZE audit_entry")
    client = logged_in("auditor")
    used = []
    for asked, index in (
        ({}, "audit_entry_at"),
        ({"action": "webhook.received"}, "audit_entry_at"),
        ({"action": "export.requested"}, "audit_entry_seldom"),
        ({"who": "person"}, "audit_entry_people"),
        ({"who": "system"}, "audit_entry_at"),
        ({"who": "person:1"}, "audit_entry_person"),
        ({"object": "event"}, "audit_entry_at"),
        ({"object": "setting", "when": "24"}, "audit_entry_apart"),
        ({"action": "event.revealed", "before": "1700000000000000-9"}, "audit_entry_seldom"),
    ):
        with recorded_statements() as seen:
            assert client.get("/admin/audit/entry/", asked).status_code == 200
        plan = plan_of_page(seen)
        used.append((asked, is_in_order(plan), index in "\n".join(plan)))
    assert [asked for asked, in_order, by_index in used if not (in_order and by_index)] == []


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize("view", ["exports", "secrets", "replays"])
def test_a_view_of_several_actions_reads_only_the_first_rows_of_each(database: None, view: str) -> None:
    append_test_entries("event:a")
    client = logged_in("auditor")
    with recorded_statements() as seen:
        assert client.get("/admin/audit/entry/", {"action": view}).status_code == 200
    plan = "\n".join(plan_of_page(seen))
    many = len(ACTION_GROUPS[view])
    assert plan.count("audit_entry_seldom") == many >= 3
    assert "audit_entry_at" not in plan
    assert plan.count("Limit" if connection.vendor == "postgresql" else "SEARCH") >= many


def plan_of_page(seen: list[SeenStatement]) -> list[str]:
    """Return the plan of the one statement that reads rows of the log, with sorting and scans disabled."""
    (page,) = [statement for statement in seen if '"audit_entry"."details"' in statement.sql]
    with transaction.atomic():
        if connection.vendor == "postgresql":
            connection.cursor().execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
            connection.cursor().execute("SET LOCAL enable_sort = off")
        return page.plan(connection)


def test_entries_are_found_by_action_and_by_people(database: None) -> None:
    with transaction.atomic():
        for written in (*ROUTINE_ACTIONS, "export.requested", "export.failed"):
            append_entries(
                NewEntry("system", written, "person:1" if written.startswith("export") else "source:a")
            )
    every = Entry.objects.order_by("id")
    for action in (*ROUTINE_ACTIONS, "export.requested"):
        assert [entry.action for entry in filter_by_action(every, action)] == [action]
    assert {entry.actor for entry in filter_by_people(every, connection.vendor)} == {"person:1"}
