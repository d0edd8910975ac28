"""The pages of single requests: a receipt, and refusals that share a row."""

from html import unescape

import pytest

from tests.support.builders.history import a_receipt, an_event, logged_in, sealed
from tests.support.people import entries
from webhooks.models import Receipt

pytestmark = pytest.mark.django_db


def refusal_page(pk: int) -> str:
    return f"/admin/webhooks/refusal/{pk}/change/"


def receipt_page(pk: int) -> str:
    return f"/admin/webhooks/receipt/{pk}/change/"


CANARY = "canary-a1b2"


def unusable() -> Receipt:
    """Create an unusable request, whose answer names the field at fault."""
    answer = {"code": "wrong-id", "errors": [{"pointer": "/id", "code": "wrong-id"}]}
    body = f'{{"id": "{CANARY}", "entityType": "USER"}}'.encode()
    return a_receipt(
        None, code="wrong-id", status=400, payload=sealed("webhook", body), answer=sealed("answer", answer)
    )


def test_a_body_that_is_not_understood_is_masked_until_it_is_revealed() -> None:
    row, support = unusable(), logged_in("support")
    page = support.get(receipt_page(row.pk)).content.decode()
    assert CANARY not in page
    assert "/id" in page
    assert "USER" in page
    assert support.post(f"/admin/webhooks/receipt/{row.pk}/reveal/", {"reason": "x"}).status_code == 302
    assert CANARY not in support.get(receipt_page(row.pk)).content.decode()
    support.post(f"/admin/webhooks/receipt/{row.pk}/reveal/", {"reason": "find the fault"})
    assert CANARY in support.get(receipt_page(row.pk)).content.decode()
    [entry] = entries("request.revealed")
    assert entry["details"]["reason"] == "find the fault"
    assert entry["details"]["receipt"] == row.own_reference
    other = unusable()
    assert CANARY not in support.get(receipt_page(other.pk)).content.decode()
    assert CANARY not in logged_in("support").get(receipt_page(row.pk)).content.decode()


def test_the_body_of_an_accepted_request_is_on_the_page_of_its_event() -> None:
    receipt = a_receipt(an_event())
    support = logged_in("support")
    assert "Body as received" not in support.get(receipt_page(receipt.pk)).content.decode()
    assert support.post(f"/admin/webhooks/receipt/{receipt.pk}/reveal/", {"reason": "why"}).status_code == 404


def test_an_unreadable_event_shows_its_place_and_code_and_masks_the_rest() -> None:
    unreadable = b'[{"position": 1, "code": "missing-member", "event": {"name": "Anna"}}]'
    row = a_receipt(None, event_count=3, payload=sealed("webhook", unreadable), code="accepted", status=202)
    page = unescape(logged_in("support").get(receipt_page(row.pk)).content.decode())
    assert "Unreadable events" in page
    assert '"position": 1' in page
    assert '"code": "missing-member"' in page
    assert "Anna" not in page
