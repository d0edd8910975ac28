"""An entry with an invalid column stops no export: the verifiers find it in what is exported."""

from pathlib import Path
from random import Random

import pytest
from django.db import connection, transaction

from audit.models import Entry
from audit.sealing.seal import seal_entries
from tests.support.audit.entries import BOX, after_start, append_test_entries, write_history
from tests.support.audit.exports import export_filtered, export_whole, take_checkpoint, verify_with_both
from tests.support.audit.triggers import disable_triggers

DAMAGE = (
    ["at = 'x'", "at = '2026-13-01 00:00:00'", "stream_seq = 'x'", "prev_leaf = 'x'", "action = x'00'"]
    if connection.vendor == "sqlite"
    else ["at = 'infinity'", "at = '0044-03-15 12:00:00+00 BC'"]
)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", ["whole", "filtered"])
def test_a_damaged_entry_is_found_in_an_export(
    database: None, tmp_path: Path, kind: str, damage: str
) -> None:
    write_history(Random(20261129), segments=3)
    append_test_entries("event:1", "event:1", "event:1", at=after_start(183))
    seal_entries(BOX, after_start(244))
    take_checkpoint()
    damaged = Entry.objects.filter(stream="event:1").order_by("-stream_seq")[1].pk
    with transaction.atomic():
        disable_triggers()
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE audit_entry SET {damage} WHERE id = {damaged}")
        if kind == "whole":
            export_whole(tmp_path / "export")
        else:
            export_filtered(tmp_path / "export", ["event:1"])
        transaction.set_rollback(True)
    shipped, independent = verify_with_both(tmp_path / "export")
    assert shipped
    assert independent
