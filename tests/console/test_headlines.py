"""Each list says in one sentence what matters most about its rows, and says so too if nothing does."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from sync.models import Erasure, LegalGround, RefusalCount
from tests.support.builders.exports import a_requested_export
from tests.support.builders.history import a_replay
from tests.support.pages import visible_text
from tests.support.people import browser, person

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


def refused(number: int) -> None:
    RefusalCount.objects.create(hour=timezone.now(), code="bad-signature", number=number)


def replays(*states: str) -> None:
    for state in states:
        a_replay(person("support", f"of-{state}"), total=2, events=2, state=state)


def an_erasure() -> None:
    asked = {"requested_by": person("administrator", "other"), "requested_at": timezone.now()}
    Erasure.objects.create(
        entity_type="USER", entity_id="U1", ground=LegalGround.CONSENT, sources=[], reason="r", **asked
    )


LISTS: dict[str, tuple[str, str, Callable[[], Any], str]] = {
    "requests": (
        "webhooks/receipt",
        "support",
        lambda: refused(3),
        "3 requests were refused in the last 24 hours.",
    ),
    "no requests": (
        "webhooks/receipt",
        "support",
        lambda: None,
        "No request was refused in the last 24 hours.",
    ),
    "audit log": ("audit/entry", "auditor", lambda: None, "Not verified yet."),
    "replays": ("sync/personrequest", "support", lambda: replays("running", "paused"), "1 replay is paused."),
    "finished replays": (
        "sync/personrequest",
        "support",
        lambda: replays("finished"),
        "No replay is running.",
    ),
    "exports": ("exports/export", "auditor", a_requested_export, "1 export is in progress."),
    "erasures": (
        "sync/erasure",
        "administrator",
        an_erasure,
        "1 erasure is waiting for a second administrator.",
    ),
    "roles": ("auth/group", "administrator", lambda: None, " roles are held by no one."),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_says_what_matters_most(name: str) -> None:
    path, role, prepare, sentence = LISTS[name]
    client = browser(role)
    prepare()
    text = " ".join(visible_text(client.get(f"/admin/{path}/")).split())
    assert sentence in text
