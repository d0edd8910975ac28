"""One inserted row with a high id cannot stop what comes after it: SQLite would have no id left, for ever."""

import pytest
from django.db import DatabaseError, connection, models, transaction

from audit.models import Entry, Segment
from database.row_ids import MAX_ID
from sync.models import Attempt, Call, Delivery, Link, Recheck
from tests.support.hub import EXAMPLE, Hub
from webhooks.models import Event, Payload, Receipt, Refusal, SubjectKey

# The tables of which rows are inserted for a webhook, whatever it is.
TABLES: tuple[type[models.Model], ...] = (
    *(Event, Receipt, Refusal, Payload, SubjectKey, Delivery, Attempt, Call, Recheck, Link, Entry),
)
HIGHEST = 2**63 - 1
NAMED = 2**40


def insert_copy(model: type[models.Model], number: int) -> None:
    """Insert a row with this id, as somebody does who can write to the database. Its other columns are not read."""
    table = model._meta.db_table
    with transaction.atomic(), connection.cursor() as cursor:
        columns = [field.column for field in model._meta.concrete_fields if not field.primary_key]
        nothing = ", ".join(["''"] * len(columns))
        cursor.execute(f"INSERT INTO {table} (id, {', '.join(columns)}) VALUES (%s, {nothing})", [number])


@pytest.mark.only_sqlite
@pytest.mark.parametrize("model", TABLES)
def test_a_high_id_is_refused(database: None, model: type[models.Model]) -> None:
    for number in (NAMED, MAX_ID - 1, MAX_ID, HIGHEST):
        with pytest.raises(DatabaseError, match="the id is too high"):
            insert_copy(model, number)


@pytest.mark.only_sqlite
def test_the_highest_id_that_is_accepted_stops_nothing(hub: Hub) -> None:
    """SQLite counts on from the highest id that a table ever had, even if its row was deleted."""
    assert hub.post_signed(EXAMPLE).status_code == 200
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sqlite_sequence SET seq = %s", [NAMED - 1])
    hub.change_email("anna.later@example.com")
    assert hub.post_signed(EXAMPLE).json()["status"] == "succeeded"
    assert Event.objects.order_by("-pk")[0].pk == NAMED
    with pytest.raises(DatabaseError, match="the id is too high"), transaction.atomic():
        Event.objects.filter(pk=NAMED).update(id=MAX_ID - 1)


@pytest.mark.parametrize("column", ["number", "highest_id"])
def test_a_segment_has_no_higher_number_than_an_id(database: None, column: str) -> None:
    values = {"number": 1, "highest_id": 1, column: MAX_ID}
    empty = dict.fromkeys(("prev_hash", "ids", "leaves", "root", "signature", "hash", "nodes"), b"")
    with pytest.raises(DatabaseError, match=f"segment_{column}_bound"), transaction.atomic():
        Segment.objects.create(**values, **empty, count=0, sealed_at="2026-03-04T12:00:00Z", key_id="")
