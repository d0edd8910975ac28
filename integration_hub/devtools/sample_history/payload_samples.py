"""What the newest generated events carry: small documents, of the shape that the hub itself stores."""

import json
from random import Random
from typing import Any

_GIVEN = (
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
_FAMILY = (
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
SENTENCES = {
    "target-rejected": ("email", "duplicate", "This e-mail address already belongs to another customer."),
    "unmappable": ("phone", "missing", "The person has no verified telephone number."),
}
Document = dict[str, Any]


def webhook(entity_id: str, entity_type: str, event_type: str) -> Document:
    return {"id": entity_id, "entityType": entity_type, "eventType": event_type}


def change(entity_type: str, entity_id: str, record: str, is_changed: bool) -> Document:
    """Before and after; the same for an entity whenever it is asked for."""
    before, after = _values(entity_type, entity_id, 0), _values(entity_type, entity_id, 1)
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


def _values(entity_type: str, entity_id: str, version: int) -> Document:
    person = Random(f"{entity_type}:{entity_id}")  # noqa: S311
    given, family = person.choice(_GIVEN), person.choice(_FAMILY)
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
        "phone": f"+35840{person.randrange(10**6, 10**7)}",
        "language": person.choice(_LANGUAGES),
        "active": True,
    }


def refusal(code: str) -> Document:
    """What the other system said, as an attempt keeps it."""
    field, word, sentence = SENTENCES[code]
    return {"sentence": sentence, "errors": [{"field": field, "code": word, "detail": sentence}]}


def sent(url: str, body: Document | None) -> Document:
    """A request, as a call keeps it."""
    headers = {"Accept": "application/json", "User-Agent": "integration-hub", "Authorization": "***"}
    return {
        "url": url,
        "headers": headers,
        "body": None if body is None else json.dumps(body, ensure_ascii=False),
    }


def answered(body: Document, request: Document | None = None) -> Document:
    """An answer, as a call keeps it: of a read together with its request."""
    document: Document = {
        "headers": {"content-type": "application/json"},
        "body": json.dumps(body, ensure_ascii=False),
    }
    return document if request is None else document | {"request": request}
