"""A slug or a name of a source or a connection that was changed by SQL is found: exports show them."""

from typing import Any

import pytest
from django.db import connection, transaction

from audit.entries.append import NewEntry, append_entries
from audit.models import Entry
from exports.row_checks.nightly_rows import find_row_faults
from sync.models import Connection
from tests.support.audit.triggers import disable_triggers
from tests.support.builders import settings_rows
from tests.support.builders.history import a_source
from tests.support.people import browser, save
from webhooks.models import Source


@pytest.fixture
def recorded(database: None) -> None:
    """A source whose creation is in the log, and two connections that were renamed in the console."""
    source = a_source("crm", name="CRM")
    details = {"after": {"slug": source.slug, "name": source.name}}
    with transaction.atomic():
        append_entries(NewEntry(f"setting:source:{source.pk}", "source.created", details=details))
    client = browser("administrator")
    for slug in ("erp", "shop"):
        row = settings_rows.connection(slug=slug)
        form = settings_rows.connection_form(row, slug=f"new-{slug}", name=f"The {slug}")
        save(client, f"/admin/sync/connection/{row.pk}/change/", form, "a new name")
        row.refresh_from_db()
        assert row.slug == f"new-{slug}"


@pytest.mark.submission
@pytest.mark.usefixtures("recorded")
def test_a_slug_or_name_that_no_entry_says_is_found() -> None:
    a_source()  # made by a command: no entry says its slug
    assert list(find_row_faults()) == []
    source = Source.objects.order_by("pk")[0]
    first, second = Connection.objects.filter(slug__startswith="new-").order_by("pk")
    for change in (
        lambda: Source.objects.filter(pk=source.pk).update(slug="other"),
        lambda: Source.objects.filter(pk=source.pk).update(name="Other"),
        lambda: exchange_slugs(first, second),
    ):
        with transaction.atomic():
            change()
            faults = list(find_row_faults())
            transaction.set_rollback(True)
        assert faults
        assert all(fault.startswith("[row-differs] ") for fault in faults), faults


def exchange_slugs(first: Connection, second: Connection) -> None:
    for row, slug in ((first, "between"), (second, first.slug), (first, second.slug)):
        Connection.objects.filter(pk=row.pk).update(slug=slug)


@pytest.mark.submission
@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("details", ["[]", "{", '{"after":[]}', '{"after":{"slug":7}}'])
def test_an_entry_with_other_details_ends_no_check(details: Any) -> None:
    with transaction.atomic():
        disable_triggers()
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {Entry._meta.db_table} SET details = %s WHERE action = 'source.created'", [details]
            )
        faults = list(find_row_faults())
        transaction.set_rollback(True)
    assert [fault.partition(" ")[0] for fault in faults] == ["[row-differs]"] * details.count("7")
