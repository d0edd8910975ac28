"""People with unmistakable data, and the situations in which this data passes through the hub."""

import json
import random
import string
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from django.db import DataError, OperationalError

from sync.attempts import delivery_run, plan
from sync.models import Connection
from tests.support.hub import Hub
from webhooks import views

WRITES = ["POST", "PATCH", "PUT"]
Setting = Callable[[Hub, dict[str, Any]], Any]
"""A context manager that makes a situation, for a hub and a person."""


def make_person(number: int) -> dict[str, Any]:
    """Return a user of the identity service whose every text occurs nowhere else."""
    chance = random.Random(number)
    given, family, address, street = (
        f"p{number:02}" + "".join(chance.choices(string.ascii_letters, k=length))
        for length in (12, 16, 20, 14)
    )
    return {
        "username": f"u{number:02}{family}",
        "name": {"givenName": given, "familyName": f"{family} O'Ä&<b>"},
        "emails": [{"address": f"{address}@personal.example".lower(), "verified": True}],
        "mobiles": [{"number": "+358" + "".join(chance.choices(string.digits, k=9))}],
        "birthDate": f"{chance.randint(1900, 2009)}-0{chance.randint(1, 9)}-{chance.randint(10, 28)}",
        "address": street,
        "memberOf": [],
        "locale": "fi",
    }


def names_of_person(person: Mapping[str, Any]) -> list[str]:
    """Return the names of a user, which lists show to roles that may see payload contents."""
    return [person["name"]["givenName"], person["name"]["familyName"].split()[0]]


def texts_of_person(person: Mapping[str, Any]) -> list[str]:
    """Return the texts of a user that identify the person."""
    return [
        person["username"],
        *names_of_person(person),
        person["emails"][0]["address"],
        person["mobiles"][0]["number"],
        person["address"],
    ]


@dataclass(frozen=True)
class Situation:
    """One way of a person's data through the hub.

    `extra`: further fields of the webhook; `body`: replaces it. `is_told`: the source may read the data in the answer,
    because it asked for the entity, or because the target's sentence is passed on to it.
    """

    name: str
    setting: Setting
    extra: Callable[[dict[str, Any]], dict[str, Any]] = field(default=lambda person: {})
    body: Callable[[dict[str, Any]], bytes] | None = None
    is_told: bool = False


@contextmanager
def _regular(hub: Hub, person: dict[str, Any]) -> Iterator[None]:
    yield


def _name_person(person: dict[str, Any], side: str) -> str:
    """Return a message that names the person: a shop's one with what it was sent, an identity service's with an address."""
    name, address = person["name"], person["emails"][0]["address"]
    if side == "identity":
        return f"{address} may not be read."
    return f"{address} (tel. {person['mobiles'][0]['number']}) is taken by {name['givenName']} {name['familyName']}"


def _fault(side: str, kind: str, *, relays: bool = False, **settings: Any) -> Setting:
    @contextmanager
    def setting(hub: Hub, person: dict[str, Any]) -> Iterator[None]:
        service = hub.shop if side == "shop" else hub.identity
        Connection.objects.filter(slug="shop").update(relays_sentences=relays)
        words = {"sentence": _name_person(person, side)} if kind == "refuse" else {}
        service.faults.add(kind, **settings, **words)
        try:
            yield
        finally:
            service.faults.clear()

    return setting


def _raising(module: Any, function: str, error: type[Exception], *, once: bool = False) -> Setting:
    """Let a function of ours fail with the person's data in the text of the error, as libraries and drivers word it."""

    @contextmanager
    def setting(hub: Hub, person: dict[str, Any]) -> Iterator[None]:
        regular, failures = getattr(module, function), 0

        def fail(*arguments: Any, **named: Any) -> Any:
            nonlocal failures
            if once and failures:
                return regular(*arguments, **named)
            failures += 1
            try:
                raise KeyError(str(person))
            except KeyError as cause:
                raise error(f"cannot handle {person}") from cause

        with mock.patch.object(module, function, fail):
            yield
        assert failures

    return setting


@contextmanager
def _namesakes(hub: Hub, person: dict[str, Any]) -> Iterator[None]:
    """Let the shop have a customer without a link with the person's address, so that somebody has to decide."""
    hub.shop.catalogue.create_record(
        "customers", {"email": person["emails"][0]["address"], "first_name": "X"}
    )
    yield


def _without_end(person: dict[str, Any]) -> bytes:
    return json.dumps({"id": "X", "data": person}).encode()[:-2]


def _without_id(person: dict[str, Any]) -> bytes:
    return json.dumps({"entityType": "USER", "eventType": "UPDATE", "data": person}).encode()


def _with_names_as_keywords(person: dict[str, Any]) -> bytes:
    words = {"entityType": person["name"]["givenName"], "eventType": person["name"]["familyName"]}
    return json.dumps({"id": "X", "timestamp": person["username"], **words}).encode()


def _long(person: dict[str, Any]) -> bytes:
    return json.dumps({"id": "X", "data": person, "filling": "x" * 70_000}).encode()


SITUATIONS = [
    Situation("regular", _regular),
    Situation("entity asked for", _regular, lambda person: {"respond": "entity"}, is_told=True),
    Situation("data carried", _regular, lambda person: {"data": person, "comment": person["username"]}),
    *[
        Situation(f"shop repeats the request: {encoding}, {told}", _fault("shop", "echo", relays=relays, encoding=encoding, methods=WRITES),
                  is_told=relays)
        for encoding in ("plain", "json", "base64", "url")
        for relays, told in ((True, "passed on"), (False, "not passed on"))
    ],
    Situation("shop names the person, passed on", _fault("shop", "refuse", relays=True, field="email"), is_told=True),
    Situation("shop names the person, not passed on", _fault("shop", "refuse", field="email")),
    Situation("identity service names the person", _fault("identity", "refuse", methods=["GET"])),
    Situation("shop repeats it in a regular response", _fault("shop", "echo", applied=True, methods=WRITES)),
    Situation("identity service repeats the request", _fault("identity", "echo")),
    Situation("shop fails", _fault("shop", "error")),
    Situation("shop fails after the change", _fault("shop", "after")),
    Situation("shop responds with a page", _fault("shop", "garbage", methods=WRITES)),
    Situation("shop closes the connection", _fault("shop", "drop")),
    Situation("shop stores the address in capitals", _fault("shop", "alter", field="email", stores="upper")),
    Situation("identity service responds with a page", _fault("identity", "garbage")),
    Situation("the mapping fails with a value error", _raising(plan, "_map_entity", ValueError)),
    Situation("the mapping fails with an error of the database", _raising(plan, "_map_entity", DataError)),
    Situation("the result cannot be stored at once", _raising(delivery_run, "settle_attempt", OperationalError, once=True)),
    Situation("customers with the same address", _namesakes),
    Situation("the webhook cannot be stored", _raising(views, "receive_webhook", DataError), lambda person: {"data": person}),
    Situation("the view fails", _raising(views, "receive_webhook", RuntimeError), lambda person: {"data": person}),
    Situation("cut JSON", _regular, body=_without_end),
    Situation("no id", _regular, body=_without_id),
    Situation("names in the place of keywords", _regular, body=_with_names_as_keywords),
    Situation("too long", _regular, body=_long),
]  # fmt: skip
