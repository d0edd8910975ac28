"""An answer rule has a sentence of ours: the source gets it in place of what the system says, which operators still see.

Holds what no other test does: the words of a system reach nobody outside if the settings have better ones.
"""

from typing import Any

import pytest
from django.utils import timezone

from console.events.attempts import answer_messages
from sync.models import Attempt, Connection, Delivery
from tests.support.hub import ANNA, Hub

RAW = "UNIQUE constraint failed: peer_user.username"
SAYS = {"en": "This address is already taken.", "fi": "Osoite on jo käytössä."}


def use(says: Any, means: str = "refused", status: int = 422) -> None:
    shop = Connection.objects.get(slug="shop")
    shop.settings |= {"answers": [{"status": status, "means": means, "says": says}]}
    shop.full_clean()
    shop.save()


def save(hub: Hub, language: str) -> dict[str, Any]:
    hub.change_email(f"new-{timezone.now():%f}@example.com")
    webhook = {"id": ANNA, "entityType": "USER", "eventType": "UPDATE"}
    return hub.post_signed(webhook, **{"Accept-Language": language}).json()


@pytest.mark.parametrize(
    ("says", "language", "detail"),
    [(SAYS, "en", SAYS["en"]), (SAYS, "fi", SAYS["fi"]), (SAYS["en"], "fi", SAYS["en"])],
)
@pytest.mark.parametrize("relays", [True, False])
def test_the_source_gets_our_sentence_and_operators_that_of_the_system(
    hub: Hub, says: Any, language: str, detail: str, relays: bool
) -> None:
    Connection.objects.update(relays_sentences=relays)
    use(says)
    hub.shop.faults.add("refuse", sentence=RAW, field="email")
    answer = save(hub, language)
    assert (answer["code"], answer["detail"]) == ("target-rejected", detail)
    [error] = answer["errors"]
    assert (error["field"], error["code"], error.get("detail")) == ("email", "refused", None)
    assert RAW not in str(answer)
    attempt = Attempt.objects.select_related("findings__subject").latest("pk")
    assert RAW in str(answer_messages(attempt, is_masked=False)[0])


def test_a_rule_that_does_not_match_leaves_the_sentence_of_the_system(hub: Hub) -> None:
    Connection.objects.update(relays_sentences=True)
    use(SAYS, status=409)
    hub.shop.faults.add("refuse", sentence="This number is not valid.")
    assert save(hub, "en")["detail"] == "This number is not valid."


def test_a_value_that_another_record_has_is_told_in_our_words(hub: Hub) -> None:
    """The hub searches again first: only what it does not find is a failure."""
    use(SAYS, means="exists")
    hub.shop.faults.add("refuse", sentence=RAW)
    answer = save(hub, "fi")
    assert (answer["code"], answer["detail"]) == ("target-rejected", SAYS["fi"])
    assert Delivery.objects.latest("pk").code == "target-rejected"
