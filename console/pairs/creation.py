"""Create a pair from its draft: source, secret, connections, mapping and route, in one transaction with one reason.

Each part gets the entries of the audit log that its own page would append.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _

from console.base.audit_trail import client_address, record_action, request_actor, require_staff_user
from sync.deliveries.routes import resolved_routes
from sync.mappings.configuration_gaps import (
    delivery_conflicts,
    link_conflicts,
    naming_conflicts,
    route_gaps,
)
from sync.models import Connection, MappingVersion, PairDraft, Route
from sync.models import Mapping as MappingRow
from sync.models.mapping import format_declaration
from sync.pairs.planned_pair import SENDER, PlannedPair, plan_pair
from webhooks.models import Source
from webhooks.presets.source_presets import HUB, SOURCE_PRESETS
from webhooks.protocol.signatures import new_secret
from webhooks.secret_rotation import RotationRefused, rotate_secret

_MAX_SLUG = 60
_MAX_NAME = 110


class CreationRefused(ValueError):
    """Nothing was created; the message is for the person who asked."""


@dataclass(frozen=True, slots=True)
class CreatedPair:
    """The route of a new pair, and the secret that the hub made for its source; empty if it made none."""

    route: Route
    secret: str


def create_pair(request: HttpRequest, draft: PairDraft, reason: str) -> CreatedPair:
    """Create all parts of a pair that do not exist yet; its route observes.

    1. Lock the draft. Raises CreationRefused if it has ended or was created meanwhile, or lacks a part.
    2. Store the parts, each with its entries.
    3. Delete the credentials from the draft, which leads to the route from now on.

    Raises CreationRefused also if a part is invalid, or the parts do not work together.
    """
    request.reason = reason  # type: ignore[attr-defined]
    try:
        with transaction.atomic():
            locked = PairDraft.objects.select_for_update().filter(pk=draft.pk, route=None).first()
            planned = plan_pair(locked) if locked is not None else None
            if locked is None or planned is None:
                raise CreationRefused(
                    _("This pair was created or changed in the meantime. Nothing was created.")
                )
            created = _create_parts(request, locked, planned, reason)
            _finish_draft(request, locked, created.route, reason)
    except ValidationError as invalid:
        raise CreationRefused(" ".join(_error_texts(invalid))) from invalid
    except IntegrityError as error:
        text = _("Another person has just added a part with the same name. Nothing was created; try again.")
        raise CreationRefused(text) from error
    draft.route, draft.credentials = created.route, None
    resolved_routes.invalidate()
    return created


def _create_parts(request: HttpRequest, draft: PairDraft, planned: PlannedPair, reason: str) -> CreatedPair:
    source, secret = _create_source(request, draft, reason)
    for connection in (planned.identity, planned.target):
        if connection._state.adding:
            _create_connection(request, connection)
    mapping = planned.mapping or _create_mapping(request, planned, reason)
    return CreatedPair(_create_route(request, planned, source, mapping), secret)


def _create_source(request: HttpRequest, draft: PairDraft, reason: str) -> tuple[Source, str]:
    chosen = draft.parts[SENDER]
    if "id" in chosen:
        source = Source.objects.filter(pk=chosen["id"]).first()
        if source is None:
            raise CreationRefused(_("The source does not exist any more. Choose the sender again."))
        return source, ""
    preset = SOURCE_PRESETS[chosen["preset"]]
    name = preset.label
    source = Source(
        name=free_name(Source, name), slug=free_slug(Source, chosen["preset"]), **preset.copy_settings()
    )
    _save_row(request, source)
    is_made_here = preset.secret_made_by == HUB
    if not is_made_here or not source.needs_secret or not _can_make_secret(source):
        return source, ""
    try:
        secret = rotate_secret(
            source,
            typed="",
            hours=0,
            newest=0,
            reason=reason,
            actor=request_actor(request),
            address=client_address(request),
        )
    except RotationRefused as refusal:
        raise CreationRefused(str(refusal)) from refusal
    return source, secret


def _can_make_secret(source: Source) -> bool:
    """Return True if the hub makes secrets for the verification of a source; a public key, it cannot."""
    try:
        new_secret(source.scheme, source.scheme_settings)
    except ValueError:
        return False
    return True


def _create_connection(request: HttpRequest, connection: Connection) -> None:
    # The slug of a connection is in exports and answers: that of the system, without its role.
    connection.slug = free_slug(
        Connection, connection.preset.removesuffix("-identity").removesuffix("-target")
    )
    connection.name = free_name(Connection, connection.name)
    _save_row(request, connection)


def _create_mapping(request: HttpRequest, planned: PlannedPair, reason: str) -> MappingRow:
    names = {"identity": planned.identity.name[:50], "target": planned.target.name[:50]}
    mapping = MappingRow(name=free_name(MappingRow, _("%(identity)s to %(target)s") % names))
    mapping.full_clean()
    mapping.save(force_insert=True)
    version = MappingVersion(mapping=mapping, number=1, declaration=dict(planned.declaration))
    version.text, version.reason = format_declaration(version.declaration), reason
    version.made_by_id = require_staff_user(request).pk
    version.full_clean()
    version.save(force_insert=True)
    admin.site.get_model_admin(MappingRow).record_addition(request, mapping)  # type: ignore[attr-defined]
    return mapping


def _create_route(request: HttpRequest, planned: PlannedPair, source: Source, mapping: MappingRow) -> Route:
    route = planned.new_route()
    route.source, route.identity, route.target = source, planned.identity, planned.target
    route.mapping, route.mode_since = mapping, timezone.now()
    conflicts = (naming_conflicts, delivery_conflicts, link_conflicts, route_gaps)
    for find_faults in conflicts:
        for _field, sentence in find_faults(route):
            raise CreationRefused(str(sentence))
    _save_row(request, route)
    return route


def _save_row(request: HttpRequest, row: Any) -> None:
    """Store a new row with its entries. Raises ValidationError if it is invalid."""
    row.full_clean()
    row.save(force_insert=True)
    admin.site.get_model_admin(type(row)).record_addition(request, row)  # type: ignore[attr-defined]


def _finish_draft(request: HttpRequest, draft: PairDraft, route: Route, reason: str) -> None:
    draft.route, draft.credentials, draft.tests = route, None, {}
    draft.parts = {SENDER: draft.parts[SENDER]}
    draft.save(update_fields=["route", "credentials", "tests", "parts"])
    parts = {"route": route.pk, "source": route.source_id, "mapping": route.mapping_id}
    connections = {"identity": route.identity_id, "target": route.target_id}
    record_action(request, draft.stream, "pair.created", {**parts, **connections, "reason": reason})


def free_slug(model: Any, text: str) -> str:
    """Return a slug of a text that no row of the model has, with a number if others have it."""
    base = slugify(text)[:_MAX_SLUG] or "system"
    taken = set(model.objects.filter(slug__startswith=base).values_list("slug", flat=True))
    return next(name for name in _numbered(base, "-") if name not in taken)


def free_name(model: Any, text: str) -> str:
    """Return a name that no row of the model has, with a number if others have it."""
    base = text[:_MAX_NAME]
    taken = set(model.objects.filter(name__startswith=base).values_list("name", flat=True))
    return next(name for name in _numbered(base, " ") if name not in taken)


def _numbered(base: str, separator: str) -> Iterator[str]:
    return (f"{base}{separator}{number}" if number > 1 else base for number in count(1))


def _error_texts(invalid: ValidationError) -> Iterator[str]:
    """Yield the messages of a part that is invalid, each with the setting that it is about."""
    if not hasattr(invalid, "error_dict"):
        yield from invalid.messages
        return
    for errors in invalid.error_dict.values():
        for error in errors:
            setting = (error.params or {}).get("setting")
            if setting is None:
                yield from error.messages
            else:
                yield f"{setting.path}: {setting.sentence}"
