"""An entry with an invalid column stops no export: the verifiers find it in what is exported."""

from pathlib import Path
from random import Random

import pytest
from django.db import connection, transaction
from django.db.models import Max

from audit.format.hashes import ZERO_HASH
from audit.models import Entry
from audit.sealing.seal import seal_entries
from audit.verification.check_database import verify_database
from tests.support.audit.entries import CIPHER, after_start, append_test_entries, write_history
from tests.support.audit.exports import export_filtered, export_whole, take_checkpoint, verify_with_both
from tests.support.audit.triggers import disable_triggers
from tests.support.hub import EXAMPLE, Hub
from webhooks.models import Event

DAMAGE = (
    ["at = 'x'", "stream_seq = 'x'", "prev_leaf = 'x'", "action = x'00'"]
    if connection.vendor == "sqlite"
    else ["at = 'infinity'", "at = '0044-03-15 12:00:00+00 BC'"]
)
# Of the last entry of a stream, which the next one continues.
HEAD_DAMAGE = (
    ["leaf = x''", "leaf = 1099511627776", "leaf = zeroblob(31)", "stream_seq = 'x'", "stream_seq = 3.5"]
    if connection.vendor == "sqlite"
    else [r"leaf = '\x'", r"leaf = '\x00'"]
) + ["stream_seq = 9223372036854775807", "stream_seq = -3"]


def damage_entry(key: int, damage: str) -> None:
    disable_triggers()
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE audit_entry SET {damage} WHERE id = {key}")


@pytest.mark.submission
def test_a_damaged_entry_is_found_in_an_export(database: None, tmp_path: Path) -> None:
    write_history(Random(20261129), segments=3)
    append_test_entries("event:1", "event:1", "event:1", at=after_start(183))
    seal_entries(CIPHER, after_start(244))
    take_checkpoint()
    damaged = Entry.objects.filter(stream="event:1").order_by("-stream_seq")[1].pk
    for number, damage in enumerate(DAMAGE):
        with transaction.atomic():
            damage_entry(damaged, damage)
            export_whole(tmp_path / f"whole{number}")
            export_filtered(tmp_path / f"filtered{number}", ["event:1"])
            transaction.set_rollback(True)
        for kind in ("whole", "filtered"):
            assert all(verify_with_both(tmp_path / f"{kind}{number}")), (kind, damage)


@pytest.mark.submission
@pytest.mark.parametrize("is_sealed", [True, False])
def test_entries_after_a_damaged_one_are_appended_and_both_verifiers_find_it(
    database: None, tmp_path: Path, is_sealed: bool
) -> None:
    write_history(Random(20261130), segments=3)
    append_test_entries("event:head", "event:head", "event:head", at=after_start(183))
    if is_sealed:
        seal_entries(CIPHER, after_start(244))
    damaged = Entry.objects.filter(stream="event:head").order_by("-stream_seq")[0].pk
    for number, damage in enumerate(HEAD_DAMAGE):
        folder = tmp_path / str(number)
        with transaction.atomic():
            damage_entry(damaged, damage)
            append_test_entries("event:head", "event:2", "event:head", at=after_start(250))
            append_test_entries("event:head", at=after_start(251))
            rows = Entry.objects.filter(stream="event:head", pk__gt=damaged).order_by("pk")
            first, *others = [(row.stream_seq, bytes(row.prev_leaf), bytes(row.leaf)) for row in rows]
            seal_entries(CIPHER, after_start(320))
            take_checkpoint()
            faults = [str(fault) for fault in verify_database().faults]
            export_whole(folder)
            transaction.set_rollback(True)
        assert [seq for seq, *_ in others] == [first[0] + 1, first[0] + 2], damage
        assert [before for _, before, _ in others] == [first[2], others[0][2]], damage
        if damage.startswith("leaf"):
            assert first[:2] == (4, ZERO_HASH), damage
            assert "stream event:head at 4: does not continue the entry before it" in faults, damage
        assert [fault for fault in faults if fault.startswith(f"entry {damaged} ")], damage
        assert all(verify_with_both(folder)), damage


def test_webhooks_of_a_subject_are_delivered_after_its_streams_were_damaged(hub: Hub) -> None:
    hub.post_signed(EXAMPLE, "msg_first")
    hub.wait_until_quiet()
    with transaction.atomic():
        disable_triggers()
        ends = Entry.objects.values("stream").annotate(last=Max("pk")).values("last")
        Entry.objects.filter(pk__in=list(ends.values_list("last", flat=True))).update(leaf=b"x")
    hub.change_email("anna.new@example.com")
    assert hub.post_signed(EXAMPLE, "msg_first").status_code == 200
    assert hub.post_signed(EXAMPLE, "msg_second").status_code == 200
    assert hub.post_signed(b"{}").status_code == 400
    hub.wait_until_quiet()
    assert list(Event.objects.order_by("pk").values_list("state", flat=True)) == ["unchanged", "succeeded"]
