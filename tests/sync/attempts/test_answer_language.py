"""The language of an answer: the target is asked for it, and what it says in another one is a quotation after ours.

Holds what no other test does: an answer in Finnish has no English sentence but as a quotation.
"""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sync.execution.executor import run_due_deliveries
from sync.models import Breaker, Connection, Delivery, MappingVersion, Route
from tests.support.hub import ANNA, Hub
from webhooks.models import State

ENGLISH, FINNISH = "This address is already taken.", "Osoite on jo käytössä."
OURS = "The shop ei hyväksynyt muutostasi. Tarkista antamasi tiedot ja tallenna uudelleen."


@pytest.fixture
def relaying(hub: Hub) -> Hub:
    Connection.objects.update(relays_sentences=True)
    return hub


def save(hub: Hub, language: str) -> dict[str, Any]:
    """Change an address and post the webhook as the identity service does for a person with this language."""
    hub.change_email(f"new-{timezone.now():%f}@example.com")
    webhook = {"id": ANNA, "entityType": "USER", "eventType": "UPDATE"}
    return hub.post_signed(webhook, **{"Accept-Language": language}).json()


def languages_of_writes(hub: Hub) -> set[str | None]:
    return {
        {name.lower(): value for name, value in request["headers"].items()}.get("accept-language")
        for request in hub.writes()
    }


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("language", "sentence", "detail"),
    [
        ("en", ENGLISH, ENGLISH),
        ("fi", FINNISH, FINNISH),
        ("fi", ENGLISH, f"{OURS} The shop vastasi: ”{ENGLISH}”"),
        (
            "en",
            FINNISH,
            "The shop did not accept your change. Check what you entered, then save again. "
            f"The shop responded: “{FINNISH}”",
        ),
    ],
)
def test_ours_leads_where_the_target_speaks_another_language(
    relaying: Hub, language: str, sentence: str, detail: str
) -> None:
    relaying.shop.faults.add("refuse", sentence=sentence)
    answer = save(relaying, language)
    assert (answer["code"], answer["detail"]) == ("target-rejected", detail)
    for error in answer.get("errors", []):
        assert error.get("detail", "") in ("", sentence, f"“{sentence}”")
    assert languages_of_writes(relaying) == {language}


def test_a_retry_asks_the_target_in_the_language_of_the_person(relaying: Hub) -> None:
    relaying.shop.faults.add("error")
    assert save(relaying, "fi")["retrying"]
    relaying.shop.faults.clear()
    relaying.wait_until_quiet()
    Breaker.objects.all().delete()
    due = timezone.now() - timedelta(seconds=5)
    Delivery.objects.filter(state=State.RETRYING).update(due_at=due, not_before=None)
    assert run_due_deliveries() == 1
    assert languages_of_writes(relaying) == {"fi"}


def test_a_header_of_the_connection_wins(relaying: Hub) -> None:
    shop = Connection.objects.get(slug="shop")
    shop.settings |= {"headers": {"accept-language": "sv"}}
    shop.save()
    assert save(relaying, "fi")["status"] == "succeeded"
    assert languages_of_writes(relaying) == {"sv"}


def test_what_the_hub_found_is_not_said_in_english_to_a_reader_of_finnish(relaying: Hub) -> None:
    route = Route.objects.get(source__slug="aurora", entity_type="USER")
    version = MappingVersion.objects.get(mapping=route.mapping)
    declaration = version.declaration
    declaration["fields"]["email"] = {"path": "entity.no_such_field", "required": True}
    MappingVersion.objects.filter(pk=version.pk).update(declaration=declaration)
    answer = save(relaying, "fi")
    assert answer["code"] == "unmappable"
    assert answer["detail"].startswith("Muutostasi ei voitu välittää")
    assert [set(error) for error in answer["errors"]] == [{"pointer", "field", "code"}]
