"""A person's data passes through the hub in every way that we know, right and wrong. Outside encrypted payloads, and the
answers that were meant to have it, nothing shows it: no log line, column, page without a reveal, mail or export.
"""

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from sync.attempts import plan
from sync.limits.circuit_breaker import invalidate_breakers
from sync.models import Breaker
from tests.faults.leaks import outlets
from tests.faults.leaks.personal_data import (
    SITUATIONS,
    Situation,
    make_person,
    names_of_person,
    texts_of_person,
)
from tests.support.builders.exports import a_finished_export
from tests.support.hub import Hub
from tests.support.leaks.echoed_forms import readable_secrets
from webhooks.models import Event

pytestmark = [pytest.mark.faults, pytest.mark.nightly]


@dataclass
class Findings:
    """The texts of persons that were found, each with its situation and outlet, and what was searched."""

    hits: list[tuple[str, str, str]] = field(default_factory=list)
    characters: int = 0
    persons: list[str] = field(default_factory=list)

    def search(self, situation: str, outlet: str, text: str, wanted: list[str]) -> None:
        self.characters += len(text)
        self.hits += [(situation, outlet, found) for found in readable_secrets(text, wanted)]


def run_situation(
    hub: Hub, number: int, situation: Situation, people: dict[str, Client]
) -> Iterator[tuple[str, str]]:
    """Send the webhook of a situation about a new person. Yields the outlets that follow, with their texts."""
    for service in (hub.identity, hub.shop):
        service.faults.clear()
    Breaker.objects.all().delete()
    invalidate_breakers()
    person = make_person(number)
    key = hub.identity.directory.create_record("users", person)["id"]
    webhook = {"id": key, "entityType": "USER", "eventType": "CREATE", "timestamp": "2026-01-01T00:00:00Z"}
    body = (
        situation.body(person) if situation.body else json.dumps(webhook | situation.extra(person)).encode()
    )
    newest = Event.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    with outlets.collected_lines() as lines, situation.setting(hub, person):
        answer = hub.post_signed(body)
        hub.wait_until_quiet()
        role = outlets.ROLES[number % len(outlets.ROLES)]
        for event in Event.objects.filter(pk__gt=newest):
            yield "page", "\n".join(outlets.texts_of_event(people[role], event))
            yield "preview", "\n".join(outlets.texts_of_preview(people["support"], event))
    if not situation.is_told:
        yield "answer", "\n".join(outlets.texts_of_answer(answer))
    yield "log", "\n".join(lines)


def run_situations(hub: Hub, situations: list[Situation]) -> Findings:
    """Run the situations, each with a person of its own; then search everything that was stored, sent or exported."""
    findings, people = Findings(), outlets.log_in()
    for number, situation in enumerate(situations):
        texts = texts_of_person(make_person(number))
        findings.persons += texts
        for outlet, text in run_situation(hub, number, situation, people):
            findings.search(situation.name, outlet, text, texts)
    stored = {
        f"{path} of {role}": outlets.text_of_list(client, path)
        for role, client in people.items()
        for path in outlets.LISTS
    }
    stored["columns"] = "\n".join(outlets.stored_columns())
    stored["mails"] = "\n".join(str(one.message()) for one in mail.outbox)
    with zipfile.ZipFile(a_finished_export().archive) as archive:
        stored["export"] = "\n".join(
            archive.read(name).decode("utf-8", "replace") for name in archive.namelist()
        )
    names = {name for number in range(len(situations)) for name in names_of_person(make_person(number))}
    without_names = [text for text in findings.persons if text not in names]
    for outlet, text in stored.items():
        # The list of events names people to roles that may see payload contents: of these three, support.
        is_named = outlet == "webhooks/event of support"
        findings.search("all", outlet, text, without_names if is_named else findings.persons)
    return findings


@pytest.fixture(autouse=True)
def _set_up(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> None:
    settings.EXPORT_FOLDER = str(tmp_path)
    monkeypatch.setattr(plan, "FETCH_RETRY_PAUSES", ())


@pytest.mark.promise("I6")
@pytest.mark.parametrize(
    "debug",
    [pytest.param(False, id=""), pytest.param(True, id="with DEBUG", marks=pytest.mark.one_database)],
)
def test_personal_data_is_found_nowhere_but_in_payloads(hub: Hub, settings: Any, debug: bool) -> None:
    settings.DEBUG = debug
    findings = run_situations(hub, SITUATIONS)
    print(
        f"\nI6: persons' texts {len(findings.persons)}, situations {len(SITUATIONS)}, "
        f"characters {findings.characters:,}, hits {len(findings.hits)}"
    )
    assert findings.hits == []
    # The data was there to be found.
    assert readable_secrets("\n".join(outlets.decrypted_payloads()), findings.persons)
