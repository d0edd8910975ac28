"""The case number of an erasure outlives the person's data, and therefore names nobody."""

import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

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
def test_a_case_number_is_accepted() -> None:
    for number in ("a.b_c:1/2#3-4", "  GDPR-2026-117 ", "1" * 40, ""):
        assert clean_case_number(number) == number.strip()


@pytest.mark.pure
def test_an_invalid_case_number_is_refused_and_not_repeated() -> None:
    for number in ("anna1@example.com", "Anna", "Anna 1", "-117", "1" * 41, "1\n2", "٣٤", "Ä1"):
        with pytest.raises(CaseNumberRefused) as refusal:
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
    "laspa-1", "OHMAN.2026", "T-zlaspa81", "358407654321", "T/407654321-358407654321", "1981.07.06", "19810706", "T9034417",
    "quarrystreet#1", "REC-88412", "rec88412",
]  # fmt: skip


def is_refused(number: str, person: InventedPerson) -> bool:
    try:
        check_case_number(clean_case_number(number), find_subject("USER", person.entity_id))
    except CaseNumberRefused:
        return True
    return False


def test_a_case_number_that_names_the_person_is_refused(known_person: InventedPerson) -> None:
    other = invented_person(2)
    store_people([other])
    own = [form.format(known_person.entity_id) for form in ("{}", "T-{}", "2026:{}#3")]
    for number in (*NAMING, *own, known_person.entity_id.lower(), other.entity_id):
        assert is_refused(number, known_person), number


def test_a_payload_that_is_too_large_to_be_read_hides_no_older_one(known_person: InventedPerson) -> None:
    subject = find_subject("USER", known_person.entity_id)
    large = json.dumps([{"body": "x" * MAX_BYTES}]).encode()
    Payload.new("response", large, subject.keys.get()).save()
    with pytest.raises(CaseNumberRefused, match="stored about this person"):
        check_case_number("laspa-1", subject)


def test_a_case_number_may_share_short_and_common_parts(known_person: InventedPerson) -> None:
    for number in (CASE, "2026-7", "USER-UPDATE-1", "1981", "T-40", "REC-1", "", "7"):
        assert not is_refused(number, known_person), number


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


@pytest.mark.submission
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


@pytest.mark.submission
def test_a_later_erasure_removes_its_id_from_earlier_case_numbers(hub: Hub) -> None:
    first, second = invented_person(1), invented_person(2)
    store_people([first, second])
    earlier = request(first)
    assert erase_confirmed() == 1
    Erasure.objects.filter(pk=earlier.pk).update(case_number=second.entity_id)
    confirmed_erasure(second)
    assert erase_confirmed() == 1
    assert find_in_tables([second]) == set()


@pytest.mark.submission
def test_the_command_stores_a_case_number_and_refuses_one_that_names_the_person(hub: Hub) -> None:
    store_people([person := invented_person(1)])
    for name in ("first", "second"):
        staff("administrator", name)
    words = {"ground": "objection", "reason": "a call", "requested_by": "first", "approved_by": "second"}
    with pytest.raises(CommandError, match="stored about this person"):
        call_command("erase_subject", "USER", person.entity_id, case_number=person.entity_id, **words)
    assert not Erasure.objects.exists()
    assert not entries("erasure.requested")
    call_command("erase_subject", "USER", person.entity_id, case_number=CASE, **words)
    assert Erasure.objects.get().case_number == CASE
