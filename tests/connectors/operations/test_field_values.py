"""A record is found by each of the values that a field of it has, and by no other value."""

from collections.abc import Iterator
from typing import Any

import pytest

from connectors.contracts.errors import SettingOverBudget, UnreadableResponse
from sync.models import Attempt, Connection, Finding, Link, Route
from sync.planning.record_matching import MatchingPolicy
from tests.support.http.connectors import shop as connector_to
from tests.support.http.servers import Reply, serving
from tests.support.hub import Hub
from tests.support.targets import contact_book
from tests.support.targets.contact_book import ContactBook

pytestmark = [pytest.mark.one_database, pytest.mark.concurrent]

GRACE, MAIN, MALLORY = "grace@example.com", "g.holloway@example.org", "MALLORY1"
NEW = "mallory@example.com"
HELD, LINKED = (202, "accepted"), (200, "succeeded")


@pytest.fixture
def book(hub: Hub) -> Iterator[ContactBook]:
    """Return a contact book that the hub delivers to."""
    target = ContactBook()
    with serving(target.answer) as service:
        shop = Connection.objects.get(slug="shop")
        shop.base_url, shop.credentials = service.url, {"token": contact_book.TOKEN}
        configure(shop)
        yield target
        hub.wait_until_idle()
        hub.wait_until_quiet()


def configure(shop: Connection, **search: Any) -> None:
    shop.settings = contact_book.settings(**search)
    shop.full_clean()
    shop.save()


def reconfigure(**search: Any) -> None:
    """Change the search of the connection."""
    configure(Connection.objects.get(slug="shop"), **search)


def follow(policy: MatchingPolicy) -> None:
    Route.objects.filter(source__slug="aurora").update(matching=policy.value)


def post(hub: Hub, address: str = GRACE, *, is_verified: bool = True, **fields: Any) -> tuple[int, str]:
    """Post a webhook about a person with this address. Returns the HTTP status, and the status or code."""
    emails = [{"address": address, "verified": is_verified}]
    hub.identity.directory.create_record(
        "users", {"id": MALLORY, "username": MALLORY.lower(), "emails": emails}
    )
    answer = hub.post_signed({"id": MALLORY, "entityType": "USER", "eventType": "UPDATE", **fields})
    document = answer.json()
    return answer.status_code, document.get("code") or document["status"]


def linked_record() -> str | None:
    return Link.objects.filter(entity_id=MALLORY).values_list("record_id", flat=True).first()


def candidates() -> set[str]:
    document = Attempt.objects.latest("pk").stored_finding(Finding.CHANGE)
    return {candidate["record"] for candidate in document["candidates"]}


@pytest.mark.submission
@pytest.mark.parametrize(
    ("policy", "is_verified"), [(MatchingPolicy.VERIFIED, True), (MatchingPolicy.TRUSTED, False)]
)
def test_a_record_is_linked_by_a_further_address_and_written_as_mapped(
    hub: Hub, book: ContactBook, policy: MatchingPolicy, is_verified: bool
) -> None:
    follow(policy)
    contact = book.add(MAIN, "first@example.com", GRACE)
    assert post(hub, is_verified=is_verified) == LINKED
    assert list(book.live.values()) == [contact], "no duplicate was created"
    assert linked_record() == str(contact["id"])
    [sent] = book.bodies
    assert sent["email"] == GRACE, "the field is written as the mapping says"
    assert (contact["email"], contact["other_emails"]) == (GRACE, ["first@example.com", GRACE])


def test_a_record_is_linked_by_a_previous_address_among_its_further_ones(hub: Hub, book: ContactBook) -> None:
    contact = book.add(MAIN, GRACE)
    assert post(hub, NEW, previous={"emails": [{"address": GRACE, "verified": True}]}) == LINKED
    assert linked_record() == str(contact["id"])
    assert len(book.live) == 1


@pytest.mark.parametrize("others", [[GRACE.upper()], ["first@example.com"]], ids=["kept", "lost"])
def test_a_hit_counts_if_one_of_its_values_is_still_the_one_searched_for(
    hub: Hub, book: ContactBook, others: list[str]
) -> None:
    contact = book.add(MAIN, "first@example.com", GRACE)
    book.freeze_search()
    contact["other_emails"] = others
    before = dict(contact)
    assert post(hub) == LINKED
    is_kept = others == [GRACE.upper()]
    assert (linked_record() == str(contact["id"])) is is_kept
    assert len(book.live) == (1 if is_kept else 2)
    assert is_kept or contact == before


@pytest.mark.parametrize(
    ("policy", "is_verified"), [(MatchingPolicy.HOLD, True), (MatchingPolicy.VERIFIED, False)]
)
def test_a_record_with_a_further_address_is_held_for_a_person(
    hub: Hub, book: ContactBook, policy: MatchingPolicy, is_verified: bool
) -> None:
    follow(policy)
    contact = book.add(MAIN, GRACE)
    assert post(hub, is_verified=is_verified) == HELD
    assert candidates() == {str(contact["id"])}
    assert (book.bodies, linked_record()) == ([], None)


def test_with_the_policy_never_no_address_is_searched_for(hub: Hub, book: ContactBook) -> None:
    follow(MatchingPolicy.NEVER)
    contact = book.add(MAIN, GRACE)
    assert post(hub) == LINKED
    assert len(book.live) == 2
    assert linked_record() != str(contact["id"])


def test_two_records_with_the_address_are_held_and_none_is_created(hub: Hub, book: ContactBook) -> None:
    follow(MatchingPolicy.TRUSTED)
    both = {str(book.add(MAIN, GRACE)["id"]), str(book.add(GRACE)["id"])}
    assert post(hub) == HELD
    assert candidates() == both
    assert (book.bodies, linked_record()) == ([], None)


def test_two_records_with_the_external_id_are_ambiguous(hub: Hub, book: ContactBook) -> None:
    reconfigure(field_values={"external_id": "[external_id, former_ids][]"})
    book.add(MAIN, external_id=MALLORY)
    book.add(GRACE, former_ids=["9", MALLORY])
    assert post(hub) == (409, "ambiguous-match")
    assert (book.bodies, linked_record()) == ([], None)


@pytest.mark.promise("I26")
def test_a_record_with_similar_addresses_is_neither_linked_nor_changed(hub: Hub, book: ContactBook) -> None:
    follow(MatchingPolicy.TRUSTED)
    stranger = dict(book.add(MAIN, f"not.{GRACE}", f"{GRACE}.example.net"))
    assert post(hub) == LINKED
    assert book.live[str(stranger["id"])] == stranger
    assert len(book.live) == 2
    assert linked_record() not in {None, str(stranger["id"])}


def test_a_record_of_another_entity_is_no_candidate(hub: Hub, book: ContactBook) -> None:
    follow(MatchingPolicy.TRUSTED)
    other = dict(book.add(MAIN, GRACE, external_id="OWNER1"))
    assert post(hub) == LINKED
    assert book.live[str(other["id"])] == other
    assert linked_record() != str(other["id"])


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize("expression", ["join(';', notes)", "active", "[other_emails]"], ids=str)
def test_an_expression_that_finds_no_values_creates_no_duplicate(
    hub: Hub, book: ContactBook, expression: str
) -> None:
    book.add(GRACE, "first@example.com", active=True)
    reconfigure(field_values={"email": expression})
    Route.objects.filter(source__slug="aurora").update(max_attempts=1)
    post(hub)
    assert Attempt.objects.latest("pk").code == "target-garbled"
    assert (len(book.live), book.bodies) == (1, [])


class TestSearch:
    """Searches of a connector, without deliveries."""

    @pytest.fixture
    def book(self) -> ContactBook:
        return ContactBook()

    def find(self, book: ContactBook, value: str, **changed: Any) -> list[str]:
        """Return the ids of the records that a search by the address gives."""
        settings = contact_book.settings() | changed
        with serving(book.answer) as service:
            target = connector_to(service.url, settings=settings, deadline=60.0)
            return [record.id for record in target.search_records("USER", "email", value)]

    @pytest.mark.parametrize(("caseless", "is_found"), [(["email"], True), ([], False)])
    def test_values_are_compared_as_the_field_is(
        self, book: ContactBook, caseless: list[str], is_found: bool
    ) -> None:
        book.add(MAIN, "Grace@Example.com")
        assert bool(self.find(book, GRACE, caseless=caseless)) is is_found

    def test_the_expression_replaces_the_field(self, book: ContactBook) -> None:
        book.add(GRACE, MAIN)
        only_others = contact_book.settings(field_values={"email": "other_emails"})
        assert self.find(book, GRACE, entities=only_others["entities"]) == []
        assert self.find(book, MAIN, entities=only_others["entities"]) == ["101"]

    @pytest.mark.parametrize(
        ("expression", "is_right"), [("[email, other_emails[]][]", True), ("[mail, other_emails[]][]", False)]
    )
    def test_the_test_of_a_connection_finds_a_wrong_path(
        self, book: ContactBook, expression: str, is_right: bool
    ) -> None:
        book.add(GRACE, "first@example.com")
        settings = contact_book.settings(fields=["email"], field_values={"email": expression})
        with serving(book.answer) as service:
            target = connector_to(service.url, settings=settings, deadline=60.0)
            if is_right:
                assert target.read_sample().item_count == 1
            else:
                with pytest.raises(UnreadableResponse, match="does not find a record that has the value"):
                    target.read_sample()

    @pytest.mark.parametrize(("value", "found"), [(GRACE, 1), (MAIN, 1), (GRACE[1:], 0)])
    def test_a_text_field_with_several_values_is_split(
        self, book: ContactBook, value: str, found: int
    ) -> None:
        contact = book.add(MAIN, notes=f"first@example.com;{GRACE}")
        settings = contact_book.settings(field_values={"email": "[email, split(notes, ';')][]"})
        with serving(lambda _: Reply(200, {"contacts": [contact, book.add("x@example.com")]})) as service:
            target = connector_to(service.url, settings=settings, deadline=60.0)
            assert len(target.search_records("USER", "email", value)) == found

    def test_an_expression_shares_the_budget_of_its_response(self, book: ContactBook) -> None:
        for number in range(40):
            book.add(GRACE, *(f"{number}.{other}@example.com" for other in range(50)))
        squared = "other_emails" + "[].[@, @]" * 12 + "[]"
        costly = contact_book.settings(field_values={"email": squared})
        with pytest.raises(SettingOverBudget):
            self.find(book, GRACE, entities=costly["entities"])
