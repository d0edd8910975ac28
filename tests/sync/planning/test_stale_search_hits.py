"""A search may lag: a record that is found by a value counts only if the record itself still has the value."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import pytest

from sandbox.shop.records import ShopCatalogue
from sync.deliveries.routes import resolved_routes
from sync.models import MATCH_HELD_CODE, Attempt, Delivery, Finding, MappingVersion
from sync.planning.record_matching import MAX_HIT_READS, MatchingPolicy
from tests.support.builders.matched_records import (
    MALLORY,
    a_customer,
    a_user,
    bound_record,
    candidates_of,
    follow,
    post,
    verify_by,
)
from tests.support.hub import Hub

OTHER = "OTHER1"
ADDRESS, MOVED, NEW = "shared@example.com", "moved@example.com", "mallory@example.com"
SECOND_TOO = "[entity.emails[0].address, 'second@example.com']"
HELD, DONE = (202, "accepted"), (200, "succeeded")
Customer = dict[str, Any]
# Each changes a record that the search still gives by its old address.
Change = Callable[[Hub, str], None]


def lose_address(hub: Hub, key: str) -> None:
    change(hub, key, email=MOVED)


def change(hub: Hub, key: str, **fields: Any) -> None:
    hub.shop.catalogue.update_record("customers", key, fields, replaces=False)


def delete(hub: Hub, key: str) -> None:
    hub.shop.catalogue.delete_record("customers", key)


def get_other_external_id(hub: Hub, key: str) -> None:
    change(hub, key, email=MOVED, external_id=OTHER)


def freeze_search(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let searches in the shop see its customers as they are now, whatever happens to them afterwards. Its list is up to
    date.
    """
    frozen = deepcopy(hub.shop.list_records("customers"))

    def search(filters: Mapping[str, str]) -> list[Customer]:
        return [
            customer
            for customer in (frozen if filters else hub.shop.list_records("customers"))
            if all(
                str(customer[name] or "").casefold() == value.casefold() for name, value in filters.items()
            )
        ]

    search_by(monkeypatch, search)


def search_by(monkeypatch: pytest.MonkeyPatch, search: Callable[[Mapping[str, str]], list[Customer]]) -> None:
    """Let the shop answer a search with what this finds for its filters."""

    def search_records(
        _: ShopCatalogue, collection: str, filters: Mapping[str, str], offset: int, limit: int
    ) -> tuple[list[Customer], int]:
        found = search(filters)
        return found[offset : offset + limit], len(found)

    monkeypatch.setattr(ShopCatalogue, "search_records", search_records)


def customers(hub: Hub) -> dict[str, Customer]:
    return {str(customer["id"]): customer for customer in hub.shop.list_records("customers")}


def reads(hub: Hub) -> list[str]:
    """Return the ids of the records that were read by their ids, in order."""
    prefix = "/api/customers/"
    return [
        request["path"].removeprefix(prefix)
        for request in hub.shop.read_journal()
        if request["method"] == "GET" and request["path"].startswith(prefix)
    ]


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("happen", "policy"),
    [
        (lose_address, MatchingPolicy.HOLD),
        (lose_address, MatchingPolicy.VERIFIED),
        (delete, MatchingPolicy.VERIFIED),
        (get_other_external_id, MatchingPolicy.TRUSTED),
    ],
)
def test_a_record_that_lost_the_value_is_no_hit(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, happen: Change, policy: MatchingPolicy
) -> None:
    """A stranger's record had a person's verified address when the search index was last written."""
    follow(policy)
    stranger = a_customer(hub, ADDRESS)
    freeze_search(hub, monkeypatch)
    happen(hub, stranger)
    before = customers(hub)
    a_user(hub, (ADDRESS, True))
    assert post(hub) == DONE
    assert bound_record() not in {None, stranger}, "a record was created"
    after = customers(hub)
    assert {key: after[key] for key in before} == before
    assert after[str(bound_record())]["email"] == ADDRESS


def test_a_record_that_is_not_found_by_its_own_path_is_not_created_again(hub: Hub) -> None:
    """A search finds the record, and its own path does not."""
    # The first page of the list has the record too.
    for other in list(customers(hub))[1:]:
        hub.shop.catalogue.delete_record("customers", other)
    own = a_customer(hub, ADDRESS)
    hub.shop.faults.add("error", status=404, methods=["GET"], path=f"/api/customers/{own}")
    a_user(hub, (ADDRESS, True))
    assert post(hub) == (424, "target-missing-unproven")
    assert len(customers(hub)) == 2, "it is the record itself"


def test_a_record_that_now_has_the_external_id_of_another_entity_is_not_taken_over(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = a_customer(hub, ADDRESS)
    freeze_search(hub, monkeypatch)
    change(hub, stranger, external_id=OTHER)
    before = customers(hub)
    a_user(hub, (ADDRESS, True))
    assert post(hub) == (422, "target-rejected"), "the shop says that the address is taken"
    assert (customers(hub), bound_record()) == (before, None)


def test_a_record_that_still_has_the_value_is_linked_after_one_read(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = a_customer(hub, ADDRESS)
    freeze_search(hub, monkeypatch)
    change(hub, own, email=ADDRESS.upper(), phone="+358401234567")
    # Otherwise a phone that nobody has had is left out.
    MappingVersion.objects.update(fields_with_value=["phone"])
    resolved_routes.invalidate()
    a_user(hub, (ADDRESS, True))
    assert post(hub) == DONE
    assert bound_record() == own
    assert reads(hub) == [own]
    # The change is planned for the record as it is, not as the index had it.
    [attempt] = Attempt.objects.filter(delivery__entity_id=MALLORY)
    sent = attempt.stored_finding(Finding.CHANGE)
    assert ("phone", "+358401234567") in [(field["name"], field["before"]) for field in sent["fields"]]


@pytest.mark.parametrize(
    ("policy", "expected"), [(MatchingPolicy.HOLD, HELD), (MatchingPolicy.VERIFIED, DONE)]
)
def test_of_two_hits_only_the_one_that_has_the_value_counts(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, policy: MatchingPolicy, expected: tuple[int, str]
) -> None:
    follow(policy)
    stranger, own = a_customer(hub, ADDRESS), a_customer(hub, "second@example.com")
    freeze_search(hub, monkeypatch)
    lose_address(hub, stranger)
    verify_by(SECOND_TOO)
    a_user(hub, (ADDRESS, True))
    assert post(hub) == expected
    if expected == HELD:
        assert candidates_of() == [own], "the page offers no record that lost the value"
    else:
        assert bound_record() == own


def test_a_verified_value_that_the_record_lost_proves_nothing(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is found by two addresses, and only has the one that nobody verified."""
    stranger = a_customer(hub, NEW)
    search_by(
        monkeypatch,
        lambda filters: (
            [customers(hub)[stranger] | filters] if filters.get("email") in (ADDRESS, NEW) else []
        ),
    )
    a_user(hub, (NEW, False))
    assert post(hub, previous={"emails": [{"address": ADDRESS, "verified": True}]}) == HELD
    assert Delivery.objects.get(entity_id=MALLORY).code == MATCH_HELD_CODE
    assert candidates_of() == [stranger]
    assert bound_record() is None
    assert reads(hub) == [stranger], "a record is read once, whatever values found it"


def test_a_match_reads_at_most_ten_records(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    follow(MatchingPolicy.TRUSTED)
    keys = [a_customer(hub, f"twin.{number}@example.com") for number in range(MAX_HIT_READS + 2)]
    half = len(keys) // 2

    found = {ADDRESS: keys[:half], "second@example.com": keys[half:]}
    search_by(
        monkeypatch,
        lambda filters: [customers(hub)[key] | filters for key in found.get(filters.get("email", ""), [])],
    )
    verify_by(SECOND_TOO)
    a_user(hub, (ADDRESS, True))
    assert post(hub) == HELD, "what was not read is not believed to be absent"
    assert reads(hub) == keys[:MAX_HIT_READS]
    assert set(candidates_of()) == set(keys[MAX_HIT_READS:])
