"""Rows that stand under no event, and rows that are there twice, are found."""

from typing import Any

import pytest
from django.db import connection, models, transaction

from exports.row_checks.nightly_rows import find_row_faults
from sync.models import Attempt, Call, Delivery
from tests.support.audit.triggers import disable_triggers, drop_unique_constraints
from tests.support.builders.exports import a_recorded_history
from webhooks.models import Event, Receipt

PARENTS: dict[type[models.Model], str] = {
    Receipt: "event_id",
    Delivery: "event_id",
    Attempt: "delivery_id",
    Call: "attempt_id",
}


def insert_twin(row: Any, **changed: Any) -> None:
    """Insert a second row with the same values, and a key of its own."""
    fields = row._meta.concrete_fields
    values = {field.attname: getattr(row, field.attname) for field in fields} | {"id": 1_000_000} | changed
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {row._meta.db_table} ({', '.join(field.column for field in fields)})"
            f" VALUES ({', '.join(['%s'] * len(fields))})",
            [field.get_db_prep_value(values[field.attname], connection) for field in fields],
        )


def faults_with_twin(model: type[Any], **changed: Any) -> list[str]:
    """Return what the check finds while a table without unique constraints has a second row like its first."""
    link = connection.cursor()
    if connection.vendor == "sqlite":  # its tables can be made again only without checks of foreign keys
        link.execute("PRAGMA foreign_keys = OFF")
    try:
        with transaction.atomic():
            disable_triggers()
            drop_unique_constraints(model)
            insert_twin(model.objects.order_by("pk").first(), **changed)
            faults = list(find_row_faults())
            transaction.set_rollback(True)
    finally:
        if connection.vendor == "sqlite":
            link.execute("PRAGMA foreign_keys = ON")
    return faults


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize("model", [Event, Receipt, Delivery, Attempt])
def test_a_duplicate_row_is_found(database: None, model: type[Any]) -> None:
    a_recorded_history(3)
    assert list(find_row_faults()) == []
    faults = faults_with_twin(model)
    assert any(fault.startswith("[row-duplicate]") for fault in faults), faults


@pytest.mark.submission
@pytest.mark.parametrize("model", PARENTS)
def test_a_row_without_its_parent_is_found(database: None, model: type[Any]) -> None:
    a_recorded_history(3)
    faults = faults_with_twin(model, **{PARENTS[model]: 777_777})
    missing = [fault for fault in faults if fault.startswith("[parent-missing]")]
    assert f"with id 1000000, {PARENTS[model]}" in missing[0]
