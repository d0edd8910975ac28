"""What an attempt found is stored in one payload, and each reader gets its own part of it."""

import json
from typing import Any

import pytest

from sync.attempts.event_outcome import load_event_outcome
from sync.models import Attempt, Finding
from tests.support.builders.history import sealed, sealed_findings
from tests.support.hub import ANNA, EXAMPLE, Hub
from webhooks.models import Event, Payload


def _read_another_part(attempt: Attempt, part: Finding) -> Any:
    """Return another part than the one that was asked for."""
    document = attempt.findings.json_document() if attempt.findings else {}
    return document.get(Finding.CHANGE if part is Finding.ENTITY else Finding.ENTITY)


@pytest.mark.parametrize("is_broken", [False, True])
def test_entity_and_change_share_a_payload_and_are_read_apart(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, is_broken: bool
) -> None:
    address = hub.change_email("anna.parts@example.com")
    assert hub.post_signed(json.loads(EXAMPLE) | {"respond": "entity"}).status_code == 200
    hub.wait_until_quiet()
    if is_broken:
        monkeypatch.setattr(Attempt, "stored_finding", _read_another_part)
    attempt = Attempt.objects.get()
    assert Payload.objects.filter(kind=Payload.Kind.FINDINGS).get() == attempt.findings
    change = attempt.stored_finding(Finding.CHANGE)
    entity = load_event_outcome(Event.objects.get(), with_entity=True).entity
    is_right = "fields" in change and entity is not None and entity.get("id") == ANNA
    assert is_right != is_broken
    if not is_broken:
        assert address in json.dumps(entity)
        assert address in [field["after"] for field in change["fields"]]
        assert attempt.stored_finding(Finding.ANSWER) is None


def test_an_entity_is_stored_only_if_the_source_asked_for_it(hub: Hub) -> None:
    hub.change_email("anna.plain@example.com")
    hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    attempt = Attempt.objects.get()
    assert set(attempt.findings.json_document()) == {"change"}  # type: ignore[union-attr]
    assert attempt.stored_finding(Finding.ENTITY) is None
    assert load_event_outcome(Event.objects.get(), with_entity=True).entity is None


def test_a_rejected_change_is_stored_with_the_answer_of_the_system(hub: Hub) -> None:
    hub.change_email("taken@example.com")
    assert hub.post_signed(EXAMPLE).status_code == 422
    hub.wait_until_quiet()
    document = Attempt.objects.get().findings.json_document()  # type: ignore[union-attr]
    assert set(document) == {"change", "answer"}
    assert [error["field"] for error in document["answer"]["errors"]] == ["email"]


def test_an_attempt_that_found_nothing_stores_no_payload(hub: Hub) -> None:
    hub.identity.faults.add("drop", path="/api/users")
    hub.post_signed(EXAMPLE)
    attempt = Attempt.objects.earliest("pk")
    assert (attempt.code, attempt.findings) == ("identity-unavailable", None)


@pytest.mark.django_db
@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 100_000, b"[]", b"null", b'"change"', b"{}"])
def test_a_payload_that_holds_no_findings_has_no_parts(content: bytes) -> None:
    attempt = Attempt(findings=sealed("findings", content))
    assert [attempt.stored_finding(part) for part in Finding] == [None] * 3


@pytest.mark.django_db
def test_empty_parts_are_not_missing_parts() -> None:
    attempt = Attempt(findings=sealed_findings(entity={}))
    assert attempt.stored_finding(Finding.ENTITY) == {}
    assert attempt.stored_finding(Finding.CHANGE) is None
