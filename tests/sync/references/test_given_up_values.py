"""A record that has given up its own value for another one gets a regular value again, whatever comes in between.

`test_value_holders.py` holds that every order of webhooks converges. Here the deliveries of two people who exchange
their addresses run one by one, and something fails at a certain step.
"""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sandbox.http.messages import HttpError
from sandbox.shop.records import ShopCatalogue
from sync.execution.executor import run_due_deliveries
from sync.models import Attempt, AwaitedRecord, Delivery
from sync.rechecks.due_rechecks import run_rechecks
from sync.references.value_holders import find_given_up
from tests.support.builders.references import (
    add_user,
    customer_id,
    delivery_of,
    record_of,
    run_rounds,
    tell,
    waits_for,
)
from tests.support.hub import Hub

ROUNDS = 8
pytestmark = pytest.mark.promise("I2")


def move_address(hub: Hub, key: str, address: str) -> None:
    """Change a person's address in the identity service, without a webhook."""
    emails = [{"address": address, "verified": True}]
    hub.identity.directory.update_record("users", key, {"emails": emails}, replaces=False)


def email_of(hub: Hub, key: str) -> Any:
    record = record_of(hub, "customers", key)
    return record and record["email"]


def check_again(hub: Hub, key: str) -> None:
    """Let only this person's newest delivery be checked again, as a worker does."""
    AwaitedRecord.objects.update(due_at=None)
    own = AwaitedRecord.objects.filter(delivery=delivery_of(key).pk)
    assert own.update(due_at=timezone.now() - timedelta(seconds=1)), f"{key} waits for nothing"
    assert run_rechecks() == 1
    run_due_deliveries()
    hub.wait_until_quiet()


def swap_addresses(hub: Hub) -> None:
    """Have UA and UB exchange their addresses in the identity service. UA's record is refused that of UB."""
    for key in ("UA", "UB"):
        add_user(hub, key)
        assert tell(hub, "USER", key, "CREATE") == "done"
    move_address(hub, "UA", "ub@example.com")
    move_address(hub, "UB", "ua@example.com")
    assert tell(hub, "USER", "UA") == "target-rejected"


def begin_exchange(hub: Hub) -> None:
    """Have UA and UB exchange their addresses: UB's record has given its own up, and UA's has not changed yet."""
    swap_addresses(hub)
    assert tell(hub, "USER", "UB") == "target-rejected"
    assert re.fullmatch(r"ub\+changing-[0-9a-f]{8}@example\.com", email_of(hub, "UB"))


def before_search(
    monkeypatch: pytest.MonkeyPatch, step: Callable[[], object], address: str = "ua@example.com"
) -> None:
    """Do something whenever the target is searched for the record that has an address, until `monkeypatch.undo()`."""
    search = ShopCatalogue.search_records

    def search_after_step(shop: ShopCatalogue, collection: str, filters: dict[str, str], *bounds: int) -> Any:
        if filters.get("email") == address:
            step()
        return search(shop, collection, filters, *bounds)

    monkeypatch.setattr(ShopCatalogue, "search_records", search_after_step)


def fail_search(status: int) -> None:
    raise HttpError(status, "Not now.")


def search_fails(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    before_search(monkeypatch, lambda: fail_search(503))


def search_is_throttled(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    before_search(monkeypatch, lambda: fail_search(429))


def value_is_freed_before_the_search(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a person in the target: no attempt of the hub writes the holder's record."""
    record = customer_id(hub, "UA")
    free = {"email": "free@example.com"}
    before_search(
        monkeypatch, lambda: hub.shop.catalogue.update_record("customers", record, free, replaces=False)
    )


def another_field_is_refused(hub: Hub, _: pytest.MonkeyPatch) -> None:
    hub.shop.faults.add("refuse", field="phone", sentence="The number is not valid.")


def entity_is_unreadable(hub: Hub, _: pytest.MonkeyPatch) -> None:
    hub.identity.faults.add("error", status=400)


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    "fail",
    [
        search_fails,
        value_is_freed_before_the_search,
        search_is_throttled,
        another_field_is_refused,
        entity_is_unreadable,
    ],
)
def test_a_record_that_gave_up_its_value_is_checked_until_it_has_one(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, fail: Callable[[Hub, pytest.MonkeyPatch], None]
) -> None:
    begin_exchange(hub)
    fail(hub, monkeypatch)
    check_again(hub, "UB")
    monkeypatch.undo()
    hub.shop.faults.clear()
    hub.identity.faults.clear()
    assert "+changing-" in email_of(hub, "UB")
    assert any(waiting == "UB" for waiting, _ in waits_for())
    run_rounds(hub, ROUNDS)
    assert [email_of(hub, key) for key in ("UA", "UB")] == ["ub@example.com", "ua@example.com"]
    assert waits_for() == []


@pytest.mark.submission
def test_a_holder_is_found_once_the_search_works_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first attempt cannot find whose record has the address, so no change of that one could end the wait."""
    for key in ("UA", "UB"):
        add_user(hub, key)
        assert tell(hub, "USER", key, "CREATE") == "done"
    move_address(hub, "UA", "ub@example.com")
    before_search(monkeypatch, lambda: fail_search(503), "ub@example.com")
    assert tell(hub, "USER", "UA") == "target-rejected"
    monkeypatch.undo()
    assert waits_for() == [("UA", "UA")]
    run_rounds(hub, 2)
    assert waits_for() == [("UA", "UB")]
    move_address(hub, "UB", "new@example.com")
    tell(hub, "USER", "UB")
    run_rounds(hub)
    assert email_of(hub, "UA") == "ub@example.com"


def test_a_record_that_did_not_find_the_holder_first_is_checked_until_it_has_a_regular_value(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first attempt cannot search, its second one gives the value up, and its third one fails."""
    swap_addresses(hub)
    search_fails(hub, monkeypatch)
    assert tell(hub, "USER", "UB") == "target-rejected"
    monkeypatch.undo()
    assert ("UB", "UB") in waits_for()
    check_again(hub, "UB")
    assert "+changing-" in email_of(hub, "UB")
    hub.shop.faults.add("error", status=422)
    check_again(hub, "UB")
    hub.shop.faults.clear()
    run_rounds(hub, ROUNDS)
    assert [email_of(hub, key) for key in ("UA", "UB")] == ["ub@example.com", "ua@example.com"]
    assert waits_for() == []


def test_a_record_whose_temporary_value_is_refused_gives_nothing_up(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is checked again as one with a true conflict is: not every hour, and its page says nothing else."""
    swap_addresses(hub)
    update = ShopCatalogue.update_record

    def refuse_mark(
        shop: ShopCatalogue, collection: str, key: str, body: dict[str, Any], **options: bool
    ) -> Any:
        if "+changing-" in str(body.get("email")):
            raise HttpError(422, "No plus sign, please.")
        return update(shop, collection, key, body, **options)

    monkeypatch.setattr(ShopCatalogue, "update_record", refuse_mark)
    assert tell(hub, "USER", "UB") == "target-rejected"
    assert waits_for() == [("UA", "UB"), ("UB", "UA")]
    assert find_given_up([delivery_of("UB")]) == frozenset()
    assert email_of(hub, "UB") == "ub@example.com"


@pytest.mark.submission
def test_a_value_that_was_given_up_without_an_answer_is_waited_for(hub: Hub) -> None:
    """The wait is stored before the write, so it exists although nobody knows whether the record has changed."""
    swap_addresses(hub)
    update = ShopCatalogue.update_record

    def lose_answer(
        shop: ShopCatalogue, collection: str, key: str, body: dict[str, Any], **options: bool
    ) -> Any:
        record = update(shop, collection, key, body, **options)
        if "+changing-" in str(body.get("email")):
            raise HttpError(503, "No answer.")
        return record

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ShopCatalogue, "update_record", lose_answer)
        assert tell(hub, "USER", "UB") == "target-rejected"
    assert ("UB", "UB") in waits_for()
    run_rounds(hub, ROUNDS)
    assert [email_of(hub, key) for key in ("UA", "UB")] == ["ub@example.com", "ua@example.com"]
    assert waits_for() == []


@pytest.mark.submission
def test_a_second_webhook_of_a_true_conflict_begins_no_loop(hub: Hub) -> None:
    """The waits of the first delivery are those of the second one, once that is checked in its place."""
    for key in ("UA", "UB"):
        add_user(hub, key)
        assert tell(hub, "USER", key, "CREATE") == "done"
    move_address(hub, "UA", "ub@example.com")
    assert [tell(hub, "USER", "UA") for _ in range(2)] == ["target-rejected"] * 2
    assert tell(hub, "USER", "UB") == "done"
    run_rounds(hub, 2)
    refused = Attempt.objects.filter(delivery__entity_id="UA", code="target-rejected")
    known = refused.count()
    run_rounds(hub, ROUNDS)
    assert refused.count() <= known + 1


@pytest.mark.submission
def test_nobody_gives_up_a_value_for_a_wait_that_has_ended(hub: Hub) -> None:
    """UA wanted the address of UB and does not any more. Then UB wants that of UA: a true conflict."""
    for key in ("UA", "UB"):
        add_user(hub, key)
        assert tell(hub, "USER", key, "CREATE") == "done"
    move_address(hub, "UA", "ub@example.com")
    assert tell(hub, "USER", "UA") == "target-rejected"
    move_address(hub, "UA", "ua@example.com")
    assert tell(hub, "USER", "UA") == "done"
    Delivery.objects.filter(entity_id="UA", state="dead").update(state="superseded")
    move_address(hub, "UB", "ua@example.com")
    assert tell(hub, "USER", "UB") == "target-rejected"
    assert email_of(hub, "UB") == "ub@example.com"
