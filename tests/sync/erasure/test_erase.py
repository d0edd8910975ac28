"""Erasure is real and the chain still holds (promise I19)."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Q
from django.utils import timezone

from audit.models import Entry
from exports.jobs.lifecycle import request_export
from sync.erasure import erase as erasure_erase
from sync.erasure import secure_delete
from sync.erasure.erase import run_erasure
from sync.erasure.requests import ErasureRefused, decide_erasure, find_subject, request_erasure
from sync.housekeeping.audit_upkeep import seal_audit
from sync.models import Attempt, Call, Delivery, Erasure, Link
from sync.replays.requests import request_replay
from sync.search.event_filter import resolve_filter
from tests.support.builders.erasure import (
    InventedPerson,
    confirmed_erasure,
    count_guessed_hashes,
    erase_confirmed,
    find_in_tables,
    invented_person,
    readable_payloads,
    receive_people,
    store_people,
)
from tests.support.connections import copy_connection
from tests.support.hub import Hub
from tests.support.people import entries
from tests.support.people import person as staff
from webhooks.models import Event, Payload, SubjectKey

pytestmark = pytest.mark.concurrent


def erase_all(people: list[InventedPerson]) -> None:
    for person in people:
        assert run_erasure(confirmed_erasure(person))


@pytest.mark.promise("I19")
@pytest.mark.parametrize(
    ("real", "everybody", "erased"),
    [(3, 12, 6), pytest.param(40, 1000, 100, marks=pytest.mark.nightly)],
)
def test_nothing_is_left_of_erased_people(hub: Hub, real: int, everybody: int, erased: int) -> None:
    people = receive_people(hub, map(invented_person, range(real)))
    people += [invented_person(number) for number in range(real, everybody)]
    store_people(people[real:])
    erased_people = people[:: everybody // erased][:erased]
    remaining_people = [person for person in people if person not in erased_people]
    assert find_in_tables(erased_people[:1]), "the search finds a person with data"
    assert count_guessed_hashes(erased_people) >= erased, "a guess finds a person with data"
    erase_all(erased_people)
    assert find_in_tables(erased_people) == set()
    assert count_guessed_hashes(erased_people) == 0
    readable = readable_payloads()
    assert not any(word in readable for person in erased_people for word in person.words)
    assert count_guessed_hashes(remaining_people) >= len(remaining_people)
    assert len({payload.subject_id for payload in Payload.objects.all()}) == len(remaining_people)
    assert Link.objects.count() == len(remaining_people)
    assert Event.objects.filter(entity_id__startswith="~").count() >= erased
    assert not Attempt.objects.filter(~Q(record_id=""), delivery__entity_id__startswith="~").exists()
    assert len(entries("subject.erased")) == erased
    seal_audit()
    call_command("verify_audit", "--log-only")
    assert in_the_files(erased_people) == []


def in_the_files(people: list[InventedPerson]) -> list[str]:
    """Return their words in the bytes of the files of SQLite. PostgreSQL gets a VACUUM, which another test holds."""
    if connection.vendor == "postgresql":
        return []
    connection.close()
    name = str(connection.settings_dict["NAME"])
    files = [file for file in (name, f"{name}-wal") if Path(file).exists()]
    # By another process: who closes a file gives up all locks of its process on it, and SQLite's would be among them.
    text = subprocess.run(["cat", *files], check=True, capture_output=True).stdout
    return [word.decode() for person in people for word in person.words if word in text]


@pytest.mark.submission
def test_every_table_that_an_erasure_changed_is_vacuumed(hub: Hub, tmp_path: Path, settings: Any) -> None:
    """PostgreSQL keeps dead rows until VACUUM: every table that lost or changed a row gets one."""
    settings.EXPORT_FOLDER = str(tmp_path)
    (erased_person,) = receive_people(hub, [invented_person(1)])
    asker = staff("administrator")
    request_replay(list(Event.objects.all()), by=asker, reason=f"{erased_person.entity_id} asked")
    hub.wait_until_idle()
    hub.wait_until_quiet()
    request_export(
        resolve_filter({"entity_id": erased_person.entity_id}, timezone.now()),
        by=asker,
        reason=f"{erased_person.entity_id} asked",
    )
    seen: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        seen.append(sql)
        return execute(sql, *rest)

    erasure = confirmed_erasure(erased_person)
    with connection.execute_wrapper(note):
        assert run_erasure(erasure)
    changed = set(re.findall(r'(?:^|\()(?:UPDATE|DELETE FROM) "?(\w+)', "\n".join(seen), re.MULTILINE))
    assert {"webhooks_event", "exports_export", "sync_personrequest", "sync_erasure"} <= changed
    assert changed <= set(secure_delete.erasable_tables())
    swept = {sql.split('"')[1] for sql in seen if sql.startswith("VACUUM")}
    assert swept == (set(secure_delete.erasable_tables()) if connection.vendor == "postgresql" else set())


def test_a_copy_of_a_payload_from_before_the_erasure_cannot_be_decrypted(hub: Hub) -> None:
    (erased_person,) = receive_people(hub, [invented_person(1)])
    copies = [(payload.subject_id, bytes(payload.encrypted)) for payload in Payload.objects.all()]

    def readable() -> bytes:
        keys = SubjectKey.objects.in_bulk()
        return b"".join(
            keys[subject].decrypt(sealed) for subject, sealed in copies if subject and keys[subject].wrapped
        )

    assert erased_person.email.encode() in readable()
    erase_all([erased_person])
    assert readable() == b""


@pytest.mark.submission
def test_waiting_and_failed_deliveries_are_closed_and_running_ones_are_awaited(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    (erased_person,) = receive_people(hub, [invented_person(1)])
    hub.post_signed(erased_person.body)
    hub.wait_until_quiet()
    first, second = Delivery.objects.order_by("pk")
    Delivery.objects.filter(pk=first.pk).update(state="held")
    token = Event.objects.latest("pk").uuid
    Delivery.objects.filter(pk=second.pk).update(state="running", token=token, lease_until=second.opened_at)
    erasure = confirmed_erasure(erased_person)
    assert not run_erasure(erasure)
    assert SubjectKey.objects.get().wrapped is not None
    assert Delivery.objects.get(pk=first.pk).state == "held"
    Delivery.objects.filter(pk=second.pk).update(state="dead", token=None, lease_until=None)
    Event.objects.filter(pk=second.event_id).update(state="dead", code="target-rejected")
    assert erase_confirmed() == 1
    assert set(Delivery.objects.values_list("state", "event__state")) == {("closed", "closed")}
    assert len(entries("delivery.closed")) == 2
    assert find_in_tables([erased_person]) == set()


def test_an_erasure_needs_two_people_and_is_recorded(hub: Hub) -> None:
    (erased_person,) = receive_people(hub, [invented_person(1)])
    asker, other = staff("administrator", "first"), staff("administrator", "second")
    whose = find_subject("USER", erased_person.entity_id)
    with pytest.raises(ErasureRefused):
        request_erasure(find_subject("USER", "nobody"), ground="objection", reason="x", by=asker)
    for wrong in ({"ground": "because", "reason": "x"}, {"ground": "consent-withdrawn", "reason": " "}):
        with pytest.raises(ErasureRefused):
            request_erasure(whose, by=asker, **wrong)
    erasure = request_erasure(whose, ground="consent-withdrawn", reason="a letter", by=asker)
    with pytest.raises(ErasureRefused):
        request_erasure(whose, ground="objection", reason="again", by=other)
    with pytest.raises(ErasureRefused):
        decide_erasure(erasure, confirms=True, by=asker)
    assert erase_confirmed() == 0
    decide_erasure(erasure, confirms=True, by=other)
    payloads = Payload.objects.count()
    with pytest.raises(ErasureRefused):
        decide_erasure(erasure, confirms=False, by=other)
    assert erase_confirmed() == 1
    (record,) = entries("subject.erased")
    details = record["details"]
    assert (details["requested_by"], details["confirmed_by"]) == (f"person:{asker.pk}", f"person:{other.pk}")
    assert details["ground"] == "consent-withdrawn"
    assert (details["counts"]["events"], details["counts"]["payloads"]) == (1, payloads)
    assert SubjectKey.objects.get().pseudonym in details["pseudonyms"]
    assert erased_person.entity_id not in "".join(entry.body for entry in Entry.objects.all())


@pytest.mark.submission
def test_an_earlier_refused_request_contains_nothing_about_the_person(hub: Hub) -> None:
    (erased_person,) = receive_people(hub, [invented_person(1)])
    asker = staff("administrator")
    refused = request_erasure(
        find_subject("USER", erased_person.entity_id), ground="objection", reason=erased_person.name, by=asker
    )
    decide_erasure(refused, confirms=False, by=asker)
    assert "sync_erasure.entity_id" in find_in_tables([erased_person])
    erase_all([erased_person])
    assert find_in_tables([erased_person]) == set()


@pytest.mark.submission
def test_the_same_id_at_another_identity_service_is_another_person(hub: Hub) -> None:
    from sync.models import Connection, Route

    (erased_person,) = receive_people(hub, [invented_person(1)])
    hub.post(erased_person.body)
    hub.wait_until_quiet()
    elsewhere = Route.objects.get(source__slug="aurora-unsigned", entity_type="USER")
    source = Event.objects.get(is_signed=True).source_id
    assert set(find_subject("USER", erased_person.entity_id, source).sources) == {source, elsewhere.source_id}
    other = copy_connection(Connection.objects.get(pk=elsewhere.identity_id), "elsewhere")
    Route.objects.filter(pk=elsewhere.pk).update(identity=other)
    Delivery.objects.filter(route=elsewhere).update(identity=other)
    assert run_erasure(confirmed_erasure(erased_person, source))
    assert Event.objects.get(is_signed=False).entity_id == erased_person.entity_id


@pytest.mark.submission
def test_events_of_an_erased_person_cannot_be_replayed(hub: Hub) -> None:
    (erased_person,) = receive_people(hub, [invented_person(1)])
    stale = list(Event.objects.all())
    replay = request_replay(stale, by=staff("support"), reason=f"{erased_person.name} asked").replay
    hub.wait_until_idle()
    hub.wait_until_quiet()
    erase_all([erased_person])
    replay.refresh_from_db()
    assert replay.reason == erasure_erase.REDACTED_TEXT
    tried = Call.objects.count()
    asked = request_replay(stale, by=staff("support", "another"), reason="once more")
    assert (asked.deliveries, asked.skipped) == ((), 1)
    assert Call.objects.count() == tried


@pytest.mark.submission
def test_the_command_previews_and_erases_only_with_two_permitted_people(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    (erased_person,) = receive_people(hub, [invented_person(1)])
    for name in ("first", "second"):
        staff("administrator", name)
    staff("support", "third")
    call_command("erase_subject", "USER", erased_person.entity_id)
    assert "1 events" in capsys.readouterr().out
    why = {"ground": "objection", "reason": "a call"}
    with pytest.raises(CommandError, match="No data is stored"):
        call_command("erase_subject", "user", "nobody-at-all", **why)
    for one, other in (("first", "first"), ("first", "third"), ("nobody", "second")):
        with pytest.raises(CommandError):
            call_command(
                "erase_subject", "USER", erased_person.entity_id, requested_by=one, approved_by=other, **why
            )
        assert not Erasure.objects.exists(), "nothing stays asked for"
    for alone in ("requested_by", "approved_by"):
        with pytest.raises(CommandError, match="name both people"):
            call_command("erase_subject", "USER", erased_person.entity_id, **{alone: "first"}, **why)
    assert find_in_tables([erased_person])
    call_command(
        "erase_subject", "USER", erased_person.entity_id, requested_by="first", approved_by="second", **why
    )
    assert find_in_tables([erased_person]) == set()
