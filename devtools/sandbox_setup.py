"""The initial configuration of `make run`: it connects the stand-in identity service to the stand-in shop."""

from dataclasses import dataclass
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from audit.entries.append import NewEntry, append_entries
from connectors.presets import load_preset
from sync.mappings.configuration_gaps import route_gaps
from sync.models import Connection, ConnectionSide, Mapping, MappingVersion, Route
from webhooks.models import Source, SourceSecret

SIGNED, UNSIGNED = "aurora", "aurora-unsigned"

MAPPINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "USER": (
        "Person to customer",
        {
            "fields": {
                "external_id": {"path": "entity.id"},
                "email": {
                    "path": "entity.emails[0].address",
                    "apply": ["lower"],
                    "required": True,
                    "caseless": True,
                    "searchable": True,
                },
                "first_name": {"path": "entity.name.givenName", "apply": ["trim"], "searchable": True},
                "last_name": {"path": "entity.name.familyName", "apply": ["trim"], "searchable": True},
                "phone": {"path": "entity.mobiles[0].number", "searchable": True},
                "language": {"path": "entity.locale"},
                "active": {"constant": True},
            },
            "match": {
                "external_id": "external_id",
                "previous": {"email": "email"},
                "new": ["email"],
                "verified": {
                    "new": {"email": {"path": "entity.emails", "apply": ["verified_email", "lower"]}},
                    "previous": {"email": {"path": "emails", "apply": ["verified_email", "lower"]}},
                },
            },
        },
    ),
    "GROUP": (
        "Group to segment",
        {
            "fields": {
                "external_id": {"path": "entity.id"},
                "name": {"path": "entity.name", "required": True},
                "description": {"path": "entity.description"},
                "members": {"path": "entity.members", "linked": "USER", "when_missing": "leave_out"},
            },
            "match": {"external_id": "external_id", "new": ["name"]},
            # A group takes the members that the shop knows already; a file waits for its owner.
            "reference_wait_minutes": 0,
        },
    ),
    "FILE": (
        "File to document",
        {
            "fields": {
                "external_id": {"path": "entity.id"},
                "title": {"path": "entity.name", "required": True},
                "content_type": {"path": "entity.contentType"},
                "size": {"path": "entity.size"},
                "url": {"path": "entity.url"},
                "owner": {"path": "entity.ownerId"},
                "owner_id": {"path": "linked('USER', entity.ownerId)", "when_missing": "leave_out"},
            },
            "match": {"external_id": "external_id"},
            "reference_wait_minutes": 1,
        },
    ),
}


@dataclass(frozen=True, slots=True)
class SandboxSystems:
    """The addresses of the two stand-in systems, and the secrets that they share with the hub."""

    identity_url: str
    identity_token: str
    shop_url: str
    shop_token: str
    signing_secret: str


@transaction.atomic
def seed_configuration(systems: SandboxSystems) -> None:
    """Create or correct the sources, connections, mappings and routes.

    Mappings and routes that exist already are not changed. Raises CommandError, and changes nothing, if a setting is
    missing that one of these routes needs.
    """
    identity = _save_connection("aurora", "Aurora ID", ConnectionSide.IDENTITY, "sandbox-identity", systems)
    shop = _save_connection("shop", "The shop", ConnectionSide.TARGET, "sandbox-shop", systems)
    signed = _save_source(SIGNED, name="Aurora ID", scheme="standard-webhooks", entity_fields=["*"])
    unsigned = _save_source(UNSIGNED, name="Aurora ID, unsigned", scheme="none")
    if not any(
        secret.fits_scheme and secret.value == systems.signing_secret for secret in signed.secrets.all()
    ):
        signed.secrets.all().delete()
        SourceSecret.objects.create(
            source=signed, value=systems.signing_secret, hint=systems.signing_secret[-4:]
        )
    for entity_type, (name, declaration) in MAPPINGS.items():
        mapping = _get_or_create_mapping(name, declaration)
        for source in (signed, unsigned):
            _get_or_create_route(source, entity_type, identity, shop, mapping)
    append_entries(NewEntry("system", "settings.seeded", details={"sources": [SIGNED, UNSIGNED]}))


def _save_source(slug: str, **values: object) -> Source:
    # Without a rate limit: load tests and benchmarks send as fast as they can.
    new = values | {"requests_per_minute": None}
    return Source.objects.update_or_create(slug=slug, defaults=values, create_defaults=new)[0]


def _save_connection(
    slug: str, name: str, side: ConnectionSide, preset_name: str, systems: SandboxSystems
) -> Connection:
    preset = load_preset(preset_name)
    is_identity = side == ConnectionSide.IDENTITY
    connection, _ = Connection.objects.update_or_create(
        slug=slug,
        defaults={
            "name": name,
            "side": side,
            "preset": preset_name,
            "connector": preset["connector"],
            "base_url": systems.identity_url if is_identity else systems.shop_url,
            "authentication": preset["authentication"],
            "settings": preset["settings"],
            "credentials": {"token": systems.identity_token if is_identity else systems.shop_token},
            "relays_sentences": not is_identity,
        },
    )
    connection.full_clean()
    return connection


def _get_or_create_mapping(name: str, declaration: dict[str, Any]) -> Mapping:
    mapping, is_new = Mapping.objects.get_or_create(name=name)
    if is_new:
        version = MappingVersion(mapping=mapping, number=1, declaration=declaration)
        version.full_clean()
        version.save()
    return mapping


def _get_or_create_route(
    source: Source, entity_type: str, identity: Connection, shop: Connection, mapping: Mapping
) -> None:
    is_person = entity_type == "USER"
    route, _ = Route.objects.get_or_create(
        source=source,
        entity_type=entity_type,
        target=shop,
        defaults={
            "identity": identity,
            "mapping": mapping,
            "when_deleted": Route.DeletionPolicy.DEACTIVATE if is_person else Route.DeletionPolicy.DELETE,
            "deactivation": {"active": False} if is_person else {},
        },
    )
    gaps = [sentence for _field, sentence in route_gaps(route)]
    if gaps and route.is_enabled:
        raise CommandError(f"{route}: {' '.join(gaps)}")
