"""Payloads of the newest generated events: small documents in the format in which the hub stores them."""

import json
from random import Random
from typing import Any

GIVEN_NAMES = (
    "Aino",
    "Eetu",
    "Helmi",
    "Ilona",
    "Juho",
    "Kaisa",
    "Lauri",
    "Maija",
    "Noora",
    "Onni",
    "Pekka",
    "Saara",
)
FAMILY_NAMES = (
    "Aalto",
    "Heino",
    "Järvinen",
    "Kallio",
    "Laine",
    "Mäkelä",
    "Nieminen",
    "Rantala",
    "Salo",
    "Virtanen",
)
_LANGUAGES = ("fi", "sv", "en")
REFUSALS = {
    "target-rejected": ("email", "duplicate", "This e-mail address already belongs to another customer."),
    "unmappable": ("phone", "missing", "The person has no verified telephone number."),
}
Document = dict[str, Any]


def build_webhook(entity_id: str, entity_type: str, event_type: str) -> Document:
    """Return the body of a webhook."""
    return {"id": entity_id, "entityType": entity_type, "eventType": event_type}


def build_change(entity_type: str, entity_id: str, record: str, is_changed: bool) -> Document:
    """Return the change of a record, with values before and after. Equal for all calls about one entity."""
    before, after = _build_values(entity_type, entity_id, 0), _build_values(entity_type, entity_id, 1)
    fields = [
        {"name": key, "before": before[key], "after": after[key]}
        for key in after
        if after[key] != before[key]
    ]
    same = {key: value for key, value in after.items() if value == before[key]}
    action = "update" if is_changed else "nothing"
    return {
        "action": action,
        "record": record,
        "fields": fields if is_changed else [],
        "same": same if is_changed else after,
    }


def _build_values(entity_type: str, entity_id: str, version: int) -> Document:
    """Return the record of an entity: version 0 before its change, version 1 after it."""
    rng = Random(f"{entity_type}:{entity_id}")  # noqa: S311
    given, family = rng.choice(GIVEN_NAMES), rng.choice(FAMILY_NAMES)
    if entity_type != "USER":
        return {
            "external_id": entity_id,
            "name": f"{family} {entity_id[-3:]}",
            "description": ("", "Since this spring")[version],
        }
    host = ("example.com", "example.org")[version]
    return {
        "external_id": entity_id,
        "email": f"{given}.{family}@{host}".lower().replace("ä", "a"),
        "first_name": given,
        "last_name": family,
        "phone": f"+35840{rng.randrange(10**6, 10**7)}",
        "language": rng.choice(_LANGUAGES),
        "active": True,
    }


def build_refusal(code: str) -> Document:
    """Return the refusal of the target system, as an attempt stores it."""
    field, field_code, sentence = REFUSALS[code]
    return {"sentence": sentence, "errors": [{"field": field, "code": field_code, "detail": sentence}]}


def build_request(url: str, body: Document | None) -> Document:
    """Return a request, as a call stores it."""
    headers = {"Accept": "application/json", "User-Agent": "integration-hub", "Authorization": "***"}
    return {
        "url": url,
        "headers": headers,
        "body": None if body is None else json.dumps(body, ensure_ascii=False),
    }


def build_response(body: Document, request: Document | None = None) -> Document:
    """Return a response, as a call stores it: that of a read together with its request."""
    document: Document = {
        "headers": {"content-type": "application/json"},
        "body": json.dumps(body, ensure_ascii=False),
    }
    return document if request is None else document | {"request": request}
