"""The case number of an erasure outlives the person's data, and therefore names nobody."""

import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from audit.models import Entry
from sync.erasure import case_number as rule
from sync.erasure.case_number import MAX_BYTES, CaseNumberRefused, check_case_number, clean_case_number
from sync.erasure.requests import decide_erasure, find_subject, request_erasure
from sync.models import Erasure, Link
from tests.support.builders.erasure import (
    InventedPerson,
    confirmed_erasure,
    erase_confirmed,
    find_in_tables,
    invented_person,
    receive_people,
    store_people,
)
from tests.support.hub import Hub
from tests.support.people import entries
from tests.support.people import person as staff
from webhooks.models import Payload, subject_key

CASE = "GDPR-2026-117"
KNOWN = {
    "givenName": "Zoë",
    "familyName": "Läspä-Öhman",
    "username": "zlaspa81",
    "phone": "+358 40 765 4321",
    "born": "1981-07-06",
    "employee": 9034417,
    "nested": [{"street": "Quarrystreet 7"}],
}


@pytest.mark.pure
@pytest.mark.parametrize("number", [CASE, "2026/117", "T#7", "a.b_c:1", "  GDPR-2026-117 ", "1" * 40, ""])
def test_a_case_number_is_accepted(number: str) -> None:
    assert clean_case_number(number) == number.strip()


@pytest.mark.pure
@pytest.mark.parametrize(
    "number",
    ["anna1@example.com", "Anna", "Anna-Virtanen", "Anna 1", "case 117", "-117", "1" * 41, "1\n2", "٣٤", "Ä1", "+35840", "<b>1", "."],
)  # fmt: skip
def test_an_invalid_case_number_is_refused_and_not_repeated(number: str) -> None:
    with pytest.raises(CaseNumberRefused, match="at most 40 letters") as refusal:
        clean_case_number(number)
    assert "Anna" not in str(refusal.value)


@pytest.fixture
def known_person(hub: Hub) -> InventedPerson:
    """A person with a record, and with a payload that holds what an identity service may know."""
    person = invented_person(1)
    store_people([person])
    Link.objects.update(record_id="REC-88412")
    source = find_subject("USER", person.entity_id).events.get().source_id
    key = subject_key(source, "USER", person.entity_id)
    Payload.new("findings", json.dumps({"entity": KNOWN}).encode(), key).save()
    return person


NAMING = [
    "laspa-1", "OHMAN.2026", "T-zlaspa81", "ZLASPA81", "358407654321", "T/407654321-358407654321", "1981.07.06",
    "19810706", "T9034417", "quarrystreet#1", "REC-88412", "rec88412",
]  # fmt: skip


@pytest.mark.parametrize("number", NAMING)
def test_a_case_number_that_names_the_person_is_refused(known_person: InventedPerson, number: str) -> None:
    subject = find_subject("USER", known_person.entity_id)
    with pytest.raises(CaseNumberRefused, match="stored about this person"):
        check_case_number(clean_case_number(number), subject)


def test_a_payload_that_is_too_large_to_be_read_hides_no_older_one(known_person: InventedPerson) -> None:
    subject = find_subject("USER", known_person.entity_id)
    large = json.dumps([{"body": "x" * MAX_BYTES}]).encode()
    Payload.new("response", large, subject.keys.get()).save()
    with pytest.raises(CaseNumberRefused, match="stored about this person"):
        check_case_number("laspa-1", subject)


@pytest.mark.parametrize("form", ["{}", "T-{}", "{}/1", "2026:{}#3"])
def test_a_case_number_with_the_id_is_refused(known_person: InventedPerson, form: str) -> None:
    for entity_id in (known_person.entity_id, known_person.entity_id.lower()):
        with pytest.raises(CaseNumberRefused, match="stored about this person"):
            check_case_number(form.format(entity_id), find_subject("USER", known_person.entity_id))


def test_a_case_number_that_is_the_id_of_another_entity_is_refused(known_person: InventedPerson) -> None:
    other = invented_person(2)
    store_people([other])
    with pytest.raises(CaseNumberRefused, match="the id of a stored entity"):
        check_case_number(other.entity_id, find_subject("USER", known_person.entity_id))


@pytest.mark.parametrize("number", [CASE, "2026-7", "USER-UPDATE-1", "1981", "T-40", "REC-1", "", "7"])
def test_a_case_number_may_share_short_and_common_parts(known_person: InventedPerson, number: str) -> None:
    check_case_number(number, find_subject("USER", known_person.entity_id))


def test_payloads_are_read_up_to_a_number_and_a_size(
    known_person: InventedPerson, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    subject = find_subject("USER", known_person.entity_id)
    with django_assert_max_num_queries(8):
        check_case_number(CASE, subject)
    monkeypatch.setattr(rule, "MAX_BYTES", 10)
    check_case_number("zlaspa81", subject)


def request(person: InventedPerson, case_number: str = CASE) -> Erasure:
    asker, other = staff("administrator", "first"), staff("administrator", "second")
    subject = find_subject("USER", person.entity_id)
    words = {"ground": "objection", "reason": f"{person.name} wrote"}
    erasure = request_erasure(subject, by=asker, case_number=case_number, **words)
    decide_erasure(erasure, confirms=True, by=other)
    return erasure


def test_case_number_and_legal_ground_are_all_that_stays_of_a_request(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    (person,) = receive_people(hub, [invented_person(1)])
    erasure = request(person)
    assert erase_confirmed() == 1
    erasure.refresh_from_db()
    assert (erasure.case_number, erasure.ground) == (CASE, "objection")
    for action in ("erasure.requested", "erasure.confirmed", "subject.erased"):
        [entry] = entries(action)
        assert (entry["details"]["case_number"], entry["details"]["ground"]) == (CASE, "objection")
    assert find_in_tables([person]) == set()
    call_command("export_audit", "--action=subject.erased", "--since=2026-01-01")
    assert CASE in capsys.readouterr().out


def test_an_erasure_without_a_case_number_has_none_in_the_audit_log(hub: Hub) -> None:
    store_people([person := invented_person(1)])
    request(person, "")
    assert erase_confirmed() == 1
    assert "case_number" not in "".join(entry.body for entry in Entry.objects.all())


@pytest.mark.parametrize("known", ["entity_id", "email"])
def test_a_refused_case_number_leaves_no_request(hub: Hub, known: str) -> None:
    store_people([person := invented_person(1)])
    with pytest.raises(CaseNumberRefused):
        request(person, getattr(person, known))
    assert not Erasure.objects.exists()
    assert not entries("erasure.requested")


def test_a_later_erasure_removes_its_id_from_earlier_case_numbers(hub: Hub) -> None:
    first, second = invented_person(1), invented_person(2)
    store_people([first, second])
    earlier = request(first)
    assert erase_confirmed() == 1
    Erasure.objects.filter(pk=earlier.pk).update(case_number=second.entity_id)
    confirmed_erasure(second)
    assert erase_confirmed() == 1
    assert find_in_tables([second]) == set()


def test_the_command_stores_a_case_number_and_refuses_one_that_names_the_person(hub: Hub) -> None:
    store_people([person := invented_person(1)])
    for name in ("first", "second"):
        staff("administrator", name)
    words = {"ground": "objection", "reason": "a call", "requested_by": "first", "approved_by": "second"}
    with pytest.raises(CommandError, match="stored about this person"):
        call_command("erase_subject", "USER", person.entity_id, case_number=person.entity_id, **words)
    assert not Erasure.objects.exists()
    call_command("erase_subject", "USER", person.entity_id, case_number=CASE, **words)
    assert Erasure.objects.get().case_number == CASE


def test_a_variant_that_reads_no_payloads_is_caught(
    known_person: InventedPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule, "_payload_values", lambda _: iter(()))
    with pytest.raises(pytest.fail.Exception):
        test_a_case_number_that_names_the_person_is_refused(known_person, "T-zlaspa81")


def test_a_variant_that_compares_only_equal_texts_is_caught(
    known_person: InventedPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule, "_is_named", lambda value, number: value == number)
    for number in ("OHMAN.2026", "358407654321", "19810706"):
        with pytest.raises(pytest.fail.Exception):
            test_a_case_number_that_names_the_person_is_refused(known_person, number)


def test_a_variant_that_forgets_earlier_case_numbers_is_caught(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sync.erasure import redaction

    kept = tuple(pair for pair in redaction.FREE_TEXT_COLUMNS if pair[1] != "case_number")
    monkeypatch.setattr(redaction, "FREE_TEXT_COLUMNS", kept)
    with pytest.raises(AssertionError):
        test_a_later_erasure_removes_its_id_from_earlier_case_numbers(hub)
