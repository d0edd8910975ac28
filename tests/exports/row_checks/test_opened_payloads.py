"""A key that was exchanged or damaged is found by night, before somebody needs what it encrypts."""

from datetime import date, timedelta

import pytest

from database.encryption.at_rest import encrypt
from exports.row_checks.nightly_rows import find_row_faults
from exports.row_checks.opened_payloads import _draw_payloads, check_opened_payloads
from tests.support.hub import EXAMPLE, Hub
from webhooks.models import Payload, SubjectKey

TODAY = date(2026, 3, 4)


def drawn(keys: list[int]) -> set[int]:
    return {payload for day in range(30) for payload in _draw_payloads(keys, TODAY + timedelta(days=day))}


def test_each_night_opens_one_payload_of_each_key_and_in_time_all(hub: Hub) -> None:
    other = {"id": "IDNUMBER1235", "entityType": "USER", "eventType": "UPDATE"}
    for body in (EXAMPLE, EXAMPLE, other):
        hub.post_signed(body)
    hub.wait_until_quiet()
    keys = list(SubjectKey.objects.values_list("pk", flat=True))
    assert len(keys) == 2
    for day in range(3):
        payloads = Payload.objects.filter(pk__in=_draw_payloads(keys, TODAY + timedelta(days=day)))
        assert sorted(payloads.values_list("subject", flat=True)) == sorted(keys)
    assert drawn(keys) == set(Payload.objects.exclude(subject=None).values_list("pk", flat=True))
    assert check_opened_payloads(0, TODAY) == (max(keys), [])
    assert list(find_row_faults()) == []


@pytest.mark.parametrize("wrapped", [encrypt(b"k" * 32), b"no key"], ids=["another key", "no key"])
def test_an_exchanged_key_is_found(hub: Hub, wrapped: bytes) -> None:
    hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    SubjectKey.objects.update(wrapped=wrapped)
    [fault] = find_row_faults()
    assert fault.startswith("[unreadable] payloads with id ")


def test_a_destroyed_key_opens_nothing(hub: Hub) -> None:
    hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    SubjectKey.objects.update(wrapped=None, destroyed_at="2026-03-04T12:00:00Z")
    assert check_opened_payloads(0, TODAY) == (None, [])
