"""Connect two systems on one page: choose, enter, test, create, and what is left behind by what was not created."""

import re
from html import unescape
from typing import Any

import pytest
from django.db import IntegrityError, connection
from django.test import Client

from audit.models import Entry
from console.pairs import creation
from sync.models import Connection, Mapping, MappingVersion, PairDraft, Route
from sync.pairs.drafts import MAX_OPEN_DRAFTS, delete_expired_drafts
from tests.support.hub import ANNA, EXAMPLE, SIGNING_SECRET, Hub, signature_headers
from tests.support.pages import typed_form, visible_text
from tests.support.people import browser
from webhooks.models import Event, Source, SourceSecret

START = "/admin/connect/"
TOKENS = {"identity": "identity-token", "target": "shop-token"}


@pytest.fixture
def empty_hub(hub: Hub) -> Hub:
    """A hub with nothing connected, and both stand-in systems."""
    for model in (Route, MappingVersion, Mapping, SourceSecret, Source, Connection):
        model.objects.all().delete()
    return hub


def begin(client: Client) -> str:
    """Choose both sandboxes. Returns the address of the draft."""
    answer = client.post(START, {"choice": "preset:sandbox"}, follow=True)
    assert answer.status_code == 200
    client.post(answer.redirect_chain[-1][0], {"choice": "preset:sandbox-shop"})
    return f"{START}{PairDraft.objects.latest('pk').uuid}/"


def details(hub: Hub, **changed: str) -> dict[str, str]:
    values = {"identity-base_url": hub.identity.url, "target-base_url": hub.shop.url}
    return values | {f"{part}-token": token for part, token in TOKENS.items()} | changed


def entered(client: Client, hub: Hub, **changed: str) -> str:
    address = begin(client)
    answer = client.post(f"{address}details/", details(hub, **changed), follow=True)
    assert answer.redirect_chain[-1][0] == f"{address}review/"
    return address


def text_of(answer: Any) -> str:
    return unescape(visible_text(answer))


def control_names(page: str) -> set[str]:
    """Return the names of the fields that a person sees on a page, apart from the search."""
    fields = re.findall(
        r"<(?:input|select|textarea)(?![^>]*type=\"(?:hidden|search)\")[^>]*\sname=\"([^\"]+)\"", page
    )
    return set(fields)


def shown_tokens(page: str) -> list[str]:
    """Return the tokens on a page, which also has fields of these names."""
    without_names = re.sub(r'\s(?:name|id|for|aria-\w+)="[^"]*"', "", page)
    return [token for token in TOKENS.values() if token in without_names]


def all_entries() -> list[Entry]:
    return list(Entry.objects.order_by("pk"))


def stored_secrets() -> list[Any]:
    """Return the encrypted column of all drafts, as the table has it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT credentials FROM sync_pairdraft")
        return [row[0] for row in cursor.fetchall()]


def test_two_presets_become_a_pair_with_nine_fields_at_most_and_one_reason(empty_hub: Hub) -> None:
    """Holds the count of fields, that no credential is echoed, what is created, and its entries."""
    client = browser("administrator")
    address = begin(client)
    page = client.get(f"{address}details/").content.decode()
    review = client.post(f"{address}details/", details(empty_hub), follow=True).content.decode()
    assert not shown_tokens(review)
    chosen = {"sender", "target"}
    asked = control_names(page) | (control_names(review) - {"id"})
    assert len(chosen | asked) <= 9
    assert "{" not in "".join(re.findall(r"<textarea[^>]*>([^<]*)", page + review))
    again = client.get(f"{address}details/").content.decode()
    assert again.count("Stored. Leave empty to keep it.") == 2
    assert not shown_tokens(again)
    tested = text_of(client.post(f"{address}review/", {"test": "1"}))
    assert tested.count("No step failed") == 2
    assert "anna" not in tested.lower()
    made = client.post(f"{address}review/", {"create": "1", "reason": "first pair"})
    assert made.status_code == 200
    assert "Waiting for the first real webhook" in text_of(made)
    route = Route.objects.get()
    assert (route.observes, route.entity_type, route.deactivation) == (True, "USER", {"active": False})
    assert [one.preset for one in (route.identity, route.target)] == ["sandbox-identity", "sandbox-shop"]
    assert route.mapping.current_version().number == 1
    assert route.identity.credentials == {"token": "identity-token"}
    assert stored_secrets() == [None]
    created = [entry for entry in all_entries() if entry.action.endswith(".created")]
    kinds = ["source.created", "connection.created", "connection.created", "mapping.created", "route.created"]
    assert [entry.action for entry in created] == [*kinds, "pair.created"]
    assert all('"first pair"' in entry.details for entry in created)
    assert not [entry for entry in all_entries() if "identity-token" in entry.details]


def test_the_first_webhook_is_shown_once_the_secret_of_the_sender_is_entered(empty_hub: Hub) -> None:
    client = browser("administrator")
    address = entered(client, empty_hub)
    client.post(f"{address}review/", {"create": "1", "reason": "first pair"})
    source = Source.objects.get()
    answer = client.post(f"{address}created/", {"secret": SIGNING_SECRET}, follow=True)
    assert SIGNING_SECRET not in answer.content.decode()
    assert client.get(address, follow=True).redirect_chain[-1][0] == f"{address}created/"
    sent = empty_hub.post(EXAMPLE, source.slug, **signature_headers(EXAMPLE, "msg_1"))
    assert sent.json()["status"] == "observed"
    shown = text_of(client.get(f"{address}created/"))
    assert "The first webhook has arrived" in shown
    assert Event.objects.get().source == source


def test_a_wrong_credential_is_named_by_the_test(empty_hub: Hub) -> None:
    """Holds that a test is forgotten once its end is changed, and the other one's is not."""
    client = browser("administrator")
    address = entered(client, empty_hub, **{"target-token": "wrong"})
    tested = text_of(client.post(f"{address}review/", {"test": "1"}))
    assert "Sandbox shop: ✕ Failed" in tested
    assert "Sandbox identity service: ✓ No step failed" in tested
    corrected = client.post(f"{address}details/", details(empty_hub), follow=True)
    assert "Sandbox shop: ✕ Failed" not in text_of(corrected)
    assert "Sandbox identity service: ✓ No step failed" in text_of(corrected)


def test_a_draft_is_left_and_resumed_and_its_credentials_end_with_it(empty_hub: Hub) -> None:
    """Holds that what is discarded, expired or of another end leaves no credential in the table."""
    client = browser("administrator")
    address = entered(client, empty_hub)
    assert "Sandbox identity service → Sandbox shop" in text_of(client.get(START))
    assert client.get(address, follow=True).redirect_chain[-1][0] == f"{address}review/"
    assert stored_secrets() != [None]
    client.post(f"{address}choose/target/", {"choice": "preset:stripe-customers-target"})
    assert PairDraft.objects.get().read_credentials() == {"identity": {"token": "identity-token"}}
    client.post(f"{address}discard/")
    assert stored_secrets() == []
    assert [entry.action for entry in all_entries()][-1] == "pair.discarded"
    entered(client, empty_hub)
    PairDraft.objects.update(ends_at=PairDraft.objects.get().created_at)
    delete_expired_drafts()
    assert stored_secrets() == []
    assert [entry.action for entry in all_entries()][-1] == "pair.expired"


def test_a_moved_address_cannot_be_given_to_stored_credentials(empty_hub: Hub) -> None:
    client = browser("administrator")
    address = entered(client, empty_hub)
    answer = client.post(
        f"{address}details/",
        {**details(empty_hub), "target-base_url": "https://other.example", "target-token": ""},
    )
    assert "The address changed: enter it again." in text_of(answer)
    draft = PairDraft.objects.get()
    draft.parts["target"]["base_url"] = "https://other.example"
    PairDraft.objects.filter(pk=draft.pk).update(parts=draft.parts)
    assert PairDraft.objects.get().read_credentials() == {}


def test_others_see_that_there_is_a_draft_and_no_more(empty_hub: Hub) -> None:
    address = entered(browser("administrator"), empty_hub)
    other = browser("administrator", "other")
    assert "Sandbox identity service → Sandbox shop" in text_of(other.get(START))
    pages = ("", "details/", "review/", "created/", "discard/", "choose/target/")
    assert {other.get(address + page).status_code for page in pages} == {404}
    support = browser("support").get(START)
    assert support.status_code == 403
    assert "Can add connection" in support.content.decode()


def test_an_error_in_the_middle_leaves_nothing_half_made(
    empty_hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = browser("administrator")
    address = entered(client, empty_hub)

    def fail(*_: Any) -> None:
        raise IntegrityError

    monkeypatch.setattr(creation, "_create_route", fail)
    answer = client.post(f"{address}review/", {"create": "1", "reason": "first pair"})
    assert "Nothing was created" in text_of(answer)
    counts = [model.objects.count() for model in (Source, SourceSecret, Connection, Mapping, Route)]
    assert counts == [0] * 5
    assert not [entry for entry in all_entries() if entry.action.endswith(".created")]
    assert PairDraft.objects.get().read_credentials()["target"] == {"token": "shop-token"}


def test_a_second_pair_reuses_what_exists(empty_hub: Hub) -> None:
    """Holds that only what does not exist is created, and that a mapping is chosen where none can be drafted."""
    client = browser("administrator")
    client.post(f"{entered(client, empty_hub)}review/", {"create": "1", "reason": "first pair"})
    route = Route.objects.get()
    Connection.objects.filter(pk=route.target_id).update(preset="")
    client.post(START, {"choice": f"id:{route.source_id}"})
    address = f"{START}{PairDraft.objects.latest('pk').uuid}/"
    client.post(f"{address}choose/target/", {"choice": f"id:{route.target_id}"})
    assert client.get(address, follow=True).redirect_chain[-1][0] == f"{address}choose/mapping/"
    client.post(f"{address}choose/mapping/", {"choice": f"id:{route.mapping_id}"})
    refused = client.post(f"{address}review/", {"create": "1", "reason": "second pair"})
    assert refused.status_code == 200
    assert Route.objects.count() == 1, "a source and type lead to a target once"


def test_drafts_are_bounded(empty_hub: Hub) -> None:
    client = browser("administrator")
    for _ in range(MAX_OPEN_DRAFTS + 1):
        client.post(START, {"choice": "preset:clerk"})
    assert PairDraft.objects.count() == MAX_OPEN_DRAFTS


def test_saving_on_another_page_leads_back_to_where_one_was(empty_hub: Hub) -> None:
    """Holds that what was added is offered there, and that no address outside the console is followed."""
    client = browser("administrator")
    client.post(START, {"choice": "preset:sandbox"})
    page = f"{START}{PairDraft.objects.get().uuid}/choose/target/"
    add = f"/admin/sync/connection/add/?preset=sandbox-shop&then={page}"
    values = {**typed_form(client, add), "name": "Our shop", "slug": "ours", "base_url": empty_hub.shop.url}
    answer = client.post(add, {**values, "token": "shop-token", "reason": "for the pair"}, follow=True)
    stored = Connection.objects.get()
    assert answer.redirect_chain == [(f"{page}?added={stored.pk}", 302)]
    assert stored.preset == "sandbox-shop"
    assert "Our shop" in text_of(answer)
    outside = add.replace(page, "https://evil.example/admin/")
    answer = client.post(outside, {**values, "slug": "second", "reason": "for the pair"})
    assert answer["Location"].startswith("/admin/sync/connection/")
    change = f"/admin/sync/connection/{stored.pk}/change/?then={page}"
    values = {**typed_form(client, change), "name": "Renamed"}
    confirm = client.post(change, values)["Location"]
    seen = client.get(confirm).context["seen"]
    answer = client.post(confirm, {"reason": "a better name", "seen": seen})
    assert answer["Location"] == page


def test_values_of_the_sample_are_shown_only_with_the_permission_and_a_reason(empty_hub: Hub) -> None:
    client = browser("administrator+support")
    address = entered(client, empty_hub)
    asked = {"reveal": "1", "id": ANNA}
    assert "anna.aalto@example.com" not in text_of(client.post(f"{address}review/", asked))
    shown = client.post(f"{address}review/", {**asked, "why": "check the drafted mapping"})
    assert "anna.aalto@example.com" in text_of(shown)
    assert [entry.action for entry in all_entries()][-1] == "pair.revealed"
