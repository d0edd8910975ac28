"""Find settings that a route needs and that its connections lack, before a webhook meets them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from connectors.records.planned_writes import can_send_version
from connectors.settings.identity import EntitySettings
from connectors.settings.target import RecordSettings
from sync.mappings.field_gaps import (
    deactivation_gaps,
    parse_or_none,
    reactivation_gaps,
    unread_warnings,
    unsent_gaps,
)
from sync.mappings.target_settings import read_entity_settings, read_records, settings_path
from sync.models import Connection, ConnectionSide, Delivery, Link, Mapping, Route

MAX_ROUTES = 50


class MappingGaps(NamedTuple):
    """Sentences on routes that could not find their records by a version of their mapping, or would not send all of its
    fields. `warnings`: on enabled routes that would wait for records which nothing delivers, or whose target does not
    return all fields.
    """

    enabled_routes: list[str]
    disabled_routes: list[str]
    warnings: list[str]


def route_gaps(route: Route) -> Iterator[tuple[str, str]]:
    """Yield the field of a route and a sentence for each setting that is missing."""
    if not _has_entity_type(route.identity, route.identity_type):
        yield "identity", _missing_type(route.identity, route.identity_type)
    if not _has_entity_type(route.target, route.target_type):
        yield "target", _missing_type(route.target, route.target_type)
        return
    records = read_records(route.target, route.target_type)
    if records is None:
        return
    version = route.mapping.versions.first()
    if version is not None:
        yield from (("mapping", gap) for gap in _declaration_gaps(route, records, version.declaration))
    yield from (("deactivation", gap) for gap in deactivation_gaps(route, records))
    yield from (("reactivation", gap) for gap in reactivation_gaps(route, records))
    deletes = Route.DeletionPolicy.DELETE in (route.when_deleted, route.on_leaving)
    if deletes and (sentence := _deletion_gap(route, records)):
        yield "target", sentence


def naming_conflicts(route: Route) -> Iterator[tuple[str, str]]:
    """Yield the field of a route and a sentence for each name of its entity type that contradicts other routes or
    linked records.

    Subjects and links are identified by the entity type of the events, so each type must have one name at each end.
    """
    others = Route.objects.filter(identity=route.identity, entity_type=route.entity_type.upper()).exclude(
        pk=route.pk
    )
    for other in others.order_by("pk")[:MAX_ROUTES]:
        if other.identity_type != route.identity_type.upper():
            yield "identity_entity", _other_name(other, other.identity_type)
            break
    for other in others.filter(target=route.target).order_by("pk")[:MAX_ROUTES]:
        if other.target_type != route.target_type.upper():
            yield "target_entity", _other_name(other, other.target_type)
            break
    before = Route.objects.filter(pk=route.pk).first() if route.pk else None
    if before is not None and before.target_type != route.target_type.upper() and _has_links(before):
        sentence = _("Entities of this route already have records of %(type)s. Create another route instead.")
        yield "target_entity", sentence % {"type": before.target_type}


def delivery_conflicts(route: Route) -> Iterator[tuple[str, str]]:
    """Yield the field of a stored route and a sentence for each change that contradicts its deliveries.

    A delivery stays with its event and its target. Its retries and replays use the newest mapping of the route, which
    would be meant for other entities or for another system.
    """
    before = Route.objects.select_related("target").filter(pk=route.pk).first() if route.pk else None
    if before is None:
        return
    changes = {
        "source": before.source_id != route.source_id,
        "entity_type": before.entity_type != route.entity_type.upper(),
        "target": before.target_id != route.target_id,
    }
    # No index leads to the deliveries of a route: they are searched only for such a change.
    if not any(changes.values()) or not Delivery.objects.filter(route=before).exists():
        return
    sentence = _(
        "This route has deliveries. Their retries and replays go to %(connection)s, and would send what the changed "
        "route says. Create another route and disable this one instead."
    )
    for field in (name for name, is_changed in changes.items() if is_changed):
        yield field, sentence % {"connection": before.target}


def link_conflicts(route: Route) -> Iterator[tuple[str, str]]:
    """Yield the field of a stored route and a sentence if its identity connection changes after records were linked.

    Entities of another identity connection are other entities, even with the same ids: records that are linked to the
    present ones would not be found, and each would be created a second time.
    """
    before = Route.objects.select_related("identity").filter(pk=route.pk).first() if route.pk else None
    if before is None or before.identity_id == route.identity_id or not _has_links(before):
        return
    sentence = _(
        "Entities of %(identity)s already have records here. With another connection, each entity would get a second "
        "record. If it is the same system at another address, change the base URL of %(identity)s."
    )
    yield "identity", sentence % {"identity": before.identity}


def _other_name(other: Route, name: str) -> str:
    return _("The route “%(route)s” uses %(type)s for the same entities.") % {"route": other, "type": name}


def _has_links(route: Route) -> bool:
    links = Link.objects.filter(
        identity=route.identity_id, target=route.target_id, entity_type=route.entity_type
    )
    return links.exists()


def mapping_gaps(mapping: Mapping, declaration: Any) -> MappingGaps:
    """Return a sentence for each route of a mapping that could not find its records, or would not send all fields, if
    `declaration` were in force.

    Settings that a route lacks whatever its mapping says are left out.
    """
    gaps = MappingGaps([], [], [])
    routes = mapping.routes.select_related("source", "identity", "target").order_by("-is_enabled", "pk")
    for route in routes[:MAX_ROUTES]:
        records = read_records(route.target, route.target_type)
        if records is not None:
            found = gaps.enabled_routes if route.is_enabled else gaps.disabled_routes
            found += [f"{route}: {sentence}" for sentence in _declaration_gaps(route, records, declaration)]
        if route.is_enabled:
            sentences = [*reference_warnings(route, declaration), *unread_warnings(route, declaration)]
            gaps.warnings.extend(f"{route}: {sentence}" for sentence in sentences)
    return gaps


def reference_warnings(route: Route, declaration: Any) -> Iterator[str]:
    """Yield a sentence for each type that the records of a route refer to and that no enabled route delivers.

    Links that exist already still count, so this is not an error.
    """
    mapping = parse_or_none(declaration)
    if mapping is None or not mapping.reference_types:
        return
    same_systems = Route.objects.filter(is_enabled=True, identity=route.identity_id, target=route.target_id)
    delivered = set(same_systems.values_list("entity_type", flat=True).distinct())
    # The route itself may be about to be enabled.
    for entity_type in sorted(mapping.reference_types - delivered - {route.entity_type}):
        sentence = _(
            "The record refers to records of %(type)s, but no enabled route delivers that type from %(identity)s to "
            "%(connection)s. Its deliveries would wait for records that never arrive."
        )
        yield sentence % {
            "type": entity_type,
            "identity": route.identity,
            "connection": route.target,
        }


def absence_warnings(route: Route) -> list[str]:
    """Return a sentence for each system of a route whose settings cannot prove that an item was deleted."""
    ends = [(route.target, route.target_type)]
    if not route.relays:
        ends.insert(0, (route.identity, route.identity_type))
    sentence = _(
        "Nothing in the settings of %(connection)s proves that a %(type)s was deleted: %(list)s and %(probe)s are "
        "missing. A deletion waits until another linked %(type)s can be read, or a person decides."
    )
    warnings = []
    for connection, entity_type in ends:
        settings = read_entity_settings(connection, entity_type)
        if settings is not None and not settings.can_prove_absence:
            listing = ("list",) if isinstance(settings, EntitySettings) else ("operations", "list")
            paths = {
                "list": settings_path(connection, entity_type, *listing),
                "probe": settings_path(connection, entity_type, "probe"),
            }
            warnings.append(sentence % {"connection": connection, "type": entity_type, **paths})
    return warnings


def connection_gaps(connection: Connection) -> list[str]:
    """Return a sentence for each enabled route that a connection, as it is about to be saved, lacks a setting for."""
    is_identity = connection.side == ConnectionSide.IDENTITY
    used = {"identity": connection.pk} if is_identity else {"target": connection.pk}
    routes = Route.objects.filter(is_enabled=True, **used).select_related(
        "source", "identity", "target", "mapping"
    )
    gaps = []
    for route in routes.order_by("pk")[:MAX_ROUTES]:
        setattr(route, "identity" if is_identity else "target", connection)
        gaps += [f"{route}: {sentence}" for _field, sentence in route_gaps(route)]
    return gaps


def _has_entity_type(connection: Connection, entity_type: str) -> bool:
    entities = connection.settings.get("entities") if isinstance(connection.settings, dict) else None
    # Other kinds of connectors have their own form.
    return not isinstance(entities, dict) or entity_type.upper() in {name.upper() for name in entities}


def _missing_type(connection: Connection, entity_type: str) -> str:
    text = _("The settings of %(connection)s have no entity type %(type)s: %(path)s is missing.")
    path = settings_path(connection, entity_type)
    return text % {"connection": connection, "type": entity_type, "path": path}


def _declaration_gaps(route: Route, records: RecordSettings, declaration: Any) -> Iterator[str]:
    """Yield a sentence for each setting that a route's target lacks to be found and written as a declaration says."""
    if sentence := _search_gap(route, records, declaration):
        yield sentence
    yield from unsent_gaps(route, records, declaration)


def _search_gap(route: Route, records: RecordSettings, declaration: Any) -> str | None:
    """Return a sentence if a declaration finds records by fields that the route's target does not search."""
    names = _unsearchable_fields(records, declaration)
    if not names:
        return None
    sentence = _(
        "The mapping finds records by %(fields)s, which the settings of %(connection)s do not list under %(path)s."
    )
    path = settings_path(route.target, route.target_type, "operations", "search", "fields")
    return sentence % {"fields": ", ".join(names), "connection": route.target, "path": path}


def _deletion_gap(route: Route, records: RecordSettings) -> str | None:
    """Return a sentence if the settings of a route's target do not say how a record is deleted."""
    deletion = records.operations.delete
    if deletion is None:
        sentence = _(
            "Records are deleted, but the settings of %(connection)s do not say how: %(path)s is missing."
        )
        names: tuple[str, ...] = ("operations", "delete")
    elif records.version is not None and not can_send_version(records.version, deletion.method):
        sentence = _(
            "Records are deleted, but the settings of %(connection)s do not say how a DELETE request sends the "
            "version: %(path)s is missing."
        )
        names = ("version", "send", "query")
    else:
        return None
    path = settings_path(route.target, route.target_type, *names)
    return sentence % {"connection": route.target, "path": path}


def _unsearchable_fields(records: RecordSettings, declaration: Any) -> list[str]:
    """Return the record fields that a mapping searches and the target does not."""
    if not isinstance(declaration, dict):
        return []
    match = declaration.get("match") or {}
    verified = match.get("verified") or {}
    searched = [
        *(match.get("external_id"), *(match.get("previous") or {}), *(match.get("new") or [])),
        *(*(verified.get("previous") or {}), *(verified.get("new") or {})),
    ]
    search = records.operations.search
    known = () if search is None else search.fields
    return [name for name in dict.fromkeys(searched) if name is not None and name not in known]
