"""Rows for tests of back-tests: mappings, drafts and past events."""

import itertools
import json
from typing import Any

from django.contrib.auth.models import User

from audit.entries.acting_person import ActingPerson
from sync.mappings.drafts import (
    DeclarationText,
    current_version,
    open_draft,
    save_draft,
    seen_versions,
)
from sync.models import Attempt, Mapping, MappingDraft, MappingVersion, Route
from tests.support.builders.history import (
    a_call,
    a_delivery,
    a_route,
    a_source,
    an_attempt,
    an_event,
    sealed,
    sealed_findings,
)
from webhooks.models import Event

_numbers = itertools.count(1)


def mapping_author(name: str = "anna") -> ActingPerson:
    return ActingPerson(
        User.objects.get_or_create(username=name, defaults={"is_staff": True})[0], "192.0.2.1"
    )


def a_mapping_in_use(declaration: Any) -> tuple[Mapping, Route]:
    """Create a mapping with one active version, and a route for users that uses it."""
    mapping = Mapping.objects.create(name=f"Person {next(_numbers)}")
    MappingVersion.objects.create(mapping=mapping, number=1, declaration=declaration)
    source = a_source(f"aurora-{mapping.pk}")
    return mapping, a_route(source, mapping=mapping)


def a_draft(mapping: Mapping, declaration: Any, note: str = "a note", by: str = "anna") -> MappingDraft:
    seen = seen_versions(current_version(mapping), open_draft(mapping))
    return save_draft(
        mapping, DeclarationText(declaration, json.dumps(declaration)), note, seen, mapping_author(by)
    )


def a_mapped_event(
    route: Route, entity: Any, number: int = 0, *, stored_in: str = "entity", **facts: Any
) -> Event:
    """Create an event whose entity is stored with its attempt (`entity`), in the response of the fetch (`call`), or not
    at all (any other value of `stored_in`).
    """
    defaults = {"source": route.source, "payload": sealed("webhook", facts.pop("webhook", {}))}
    event = an_event(number, **defaults | facts)
    known = sealed_findings(entity=entity) if stored_in == "entity" else None
    attempt: Attempt = an_attempt(a_delivery(event, route), 1, findings=known, action="updated")
    if stored_in == "call":
        # The fetch shares its payload with the call before it.
        token = {"headers": {}, "body": '{"access_token": "***"}'}
        response = sealed("response", [token, {"headers": {}, "body": json.dumps(entity)}])
        values = {"connection": route.identity, "status": 200, "request": None, "response": response}
        a_call(attempt, purpose="token", **values)
        a_call(attempt, purpose="fetch", response_part=1, **values)
    return event
