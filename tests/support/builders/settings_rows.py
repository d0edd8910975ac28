"""Configured rows that the tests of the settings pages start from."""

import json
from typing import Any

from connectors.presets import load_preset
from sync.models import Connection, Mapping, MappingVersion
from tests.support.people import source
from webhooks.models import Source

TYPED = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr"
DECLARATION = {"fields": {"email": {"path": "entity.email", "apply": ["lower"], "required": True}}}
STORED = {"username": "hub-user", "password": "hub-password"}


def a_signed_source() -> Source:
    return source("signed", scheme="standard-webhooks")


def connection(**changed: Any) -> Connection:
    chosen = load_preset("trivore")
    return Connection.objects.create(
        **{
            "slug": "id",
            "name": "Aurora ID",
            "side": "identity",
            "connector": chosen["connector"],
            "base_url": "https://id.example.com/",
            "authentication": chosen["authentication"],
            "settings": chosen["settings"],
            "credentials": {"username": "hub-user", "password": "hub-password"},
        }
        | changed
    )


def mapping() -> Mapping:
    mapping = Mapping.objects.create(name="Person")
    MappingVersion.objects.create(mapping=mapping, number=1, declaration=DECLARATION)
    return mapping


def connection_form(of: Connection, **changed: Any) -> dict[str, Any]:
    return {
        "slug": of.slug,
        "name": of.name,
        "side": of.side,
        "connector": of.connector,
        "is_enabled": "on",
        "base_url": of.base_url,
        "authentication": json.dumps(of.authentication),
        "settings": json.dumps(of.settings),
        "deadline_seconds": "10",
        "byte_cap": "1048576",
        "breaker_failures": "10",
        "breaker_seconds": "15",
        "reason": "it joins",
    } | changed
