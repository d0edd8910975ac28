"""Both systems repeat our requests, with the credentials of the hub in them: in the head, in sentences, fields and bodies,
encoded, and cut by each of our limits. Nothing that leaves the hub or is stored shows one.
"""

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

import pytest

from sync.attempts import plan
from tests.faults.leaks import outlets
from tests.faults.leaks.situations import (
    CANARIES,
    SITUATIONS,
    Situation,
    give_secrets,
    issued_tokens,
    make_canaries,
    sample_situations,
    set_up,
)
from tests.support.hub import EXAMPLE, Hub
from tests.support.leaks.echoed_forms import readable_secrets
from webhooks.models import Event

pytestmark = [pytest.mark.faults, pytest.mark.nightly]


@pytest.fixture(autouse=True)
def _own_secrets(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the stand-ins, which other tests use too, have their own secrets again afterwards."""
    monkeypatch.setattr(plan, "FETCH_RETRY_PAUSES", ())
    before = hub.identity.token, hub.shop.token
    yield
    give_secrets(hub, *before)


@dataclass
class Search:
    """What was searched, and each secret that was found, with its place."""

    hits: list[tuple[str, str]] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)
    characters: int = 0

    def search(self, place: str, texts: Iterable[str], secrets: Collection[str]) -> None:
        text = "\n".join(texts)
        self.secrets.update(secrets)
        self.characters += len(text)
        self.hits += [(secret, place) for secret in readable_secrets(text, secrets)]


def run_situations(hub: Hub, situations: Iterable[Situation]) -> Search:
    """Send a webhook in each situation, and search what follows; in the end search everything that was stored."""
    people, search = outlets.log_in(), Search()
    for number, situation in enumerate(situations):
        set_up(hub, situation)
        body = json.loads(EXAMPLE) | {"respond": "entity" if situation.wants_entity else "result"}
        with outlets.collected_lines() as lines:
            answer = hub.post_signed(body)
            hub.wait_until_quiet()
            event = Event.objects.latest("pk")
            role = outlets.ROLES[number % len(outlets.ROLES)]
            texts = {"pages": list(outlets.texts_of_event(people[role], event))}
            if number % 12 == 0:
                texts["lists"] = list(outlets.texts_of_lists(people[role]))
                texts["preview"] = list(outlets.texts_of_preview(people["administrator"], event))
                texts["test"] = list(outlets.texts_of_test(people["administrator"]))
        secrets = [situation.identity_secret, situation.shop_secret, *issued_tokens(hub)]
        texts |= {"answer": list(outlets.texts_of_answer(answer)), "log": lines}
        for place, found in texts.items():
            search.search(place, found, secrets)
    search.search("rows", outlets.stored_texts(), search.secrets | set(make_canaries()))
    return search


@pytest.mark.promise("I6")
def test_no_secret_is_found_outside_the_allowed_columns(hub: Hub) -> None:
    canaries = make_canaries()
    situations = sample_situations(canaries)
    search = run_situations(hub, situations)
    print(
        f"\nI6: canaries {len(canaries)}, situations {len(situations)}, secrets {len(search.secrets)}, "
        f"characters {search.characters:,}, hits {len(search.hits)}"
    )
    assert (len(canaries), len(situations)) == (CANARIES, SITUATIONS)
    assert search.secrets > set(canaries)
    assert search.hits == []
    assert Event.objects.count() == SITUATIONS
