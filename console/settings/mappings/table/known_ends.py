"""What is known of the two ends of a mapping: the fields of the target, and what the identity service provides."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from config_schema.expressions.jmespath_paths import fields_read
from connectors.presets import PRESETS, ConnectionPreset
from connectors.presets.described_ends import AcceptedField
from connectors.presets.meanings import FieldType
from connectors.settings.target import RecordSettings
from sync.mappings.preset_mapping import draft_declaration
from sync.mappings.target_settings import read_records
from sync.models import Connection, Route

_TYPE_LABELS = {
    FieldType.NUMBER: gettext_lazy("number"),
    FieldType.BOOLEAN: gettext_lazy("true or false"),
    FieldType.LIST: gettext_lazy("list"),
    FieldType.OBJECT: gettext_lazy("object"),
}
# The names by which expressions of a request read the fields of a record.
_FIELD_ROOTS = ("changed", "fields", "sent")


@dataclass(frozen=True, slots=True)
class TargetField:
    """A field of the target. `label` is empty if only its name is known. `notes`: what the target says of it."""

    name: str
    label: str = ""
    notes: tuple[str, ...] = ()
    is_read_only: bool = False


@dataclass(frozen=True, slots=True)
class KnownEnds:
    """`provides`: the place of each value in the entity, by meaning, and `example` such an entity, as the preset of the
    identity service says. `draft`: the declaration that both presets give, empty without both.
    """

    fields: Mapping[str, TargetField]
    provides: Mapping[str, str]
    example: Mapping[str, Any]
    draft: Mapping[str, Any]


def describe_ends(routes: Sequence[Route]) -> KnownEnds:
    """Return what presets and settings say of the systems of these routes; the first route that knows a thing says
    it.
    """
    fields: dict[str, TargetField] = {}
    example: Mapping[str, Any] = {}
    draft: Mapping[str, Any] = {}
    known_places: Mapping[str, str] = {}
    for route in routes:
        identity, target = _find_preset(route.identity), _find_preset(route.target)
        accepted = target.accepts.get(route.target_type.upper(), ()) if target else ()
        provides = identity.provides.get(route.identity_type.upper(), {}) if identity else {}
        described = map(_describe_field, accepted) if accepted else _fields_of_settings(route)
        for known in described:
            fields.setdefault(known.name, known)
        known_places = known_places or provides
        if identity and not example:
            example = identity.samples.get(route.identity_type.upper(), {})
        if provides and accepted and not draft:
            drafted = draft_declaration(provides, accepted)
            draft = drafted if drafted["fields"] else {}
    return KnownEnds(fields, known_places, example, draft)


def _find_preset(connection: Connection) -> ConnectionPreset | None:
    return PRESETS.get(connection.preset)


def _describe_field(accepted: AcceptedField) -> TargetField:
    return TargetField(accepted.field, accepted.label, tuple(_list_notes(accepted)), accepted.is_read_only)


def _list_notes(accepted: AcceptedField) -> Iterator[str]:
    if accepted.is_read_only:
        yield _("read-only")
    if accepted.is_required:
        yield _("required by the target")
    if accepted.is_only_on_create:
        yield _("only when a record is created")
    if accepted.type in _TYPE_LABELS:
        yield str(_TYPE_LABELS[accepted.type])
    if accepted.max_length is not None:
        yield _("at most %(most)s characters") % {"most": accepted.max_length}


def _fields_of_settings(route: Route) -> Iterator[TargetField]:
    """Yield the fields that the settings of a target name: those of searches, of items, and of requests."""
    records = read_records(route.target, route.target_type)
    names = dict.fromkeys(_names_in(records)) if records is not None else {}
    return (TargetField(name) for name in names)


def _names_in(records: RecordSettings) -> Iterator[str]:
    if records.operations.search is not None:
        yield from records.operations.search.fields or ()
    yield from records.list_items
    for operation in (records.operations.create, *records.operations.updates):
        for expression in operation.request_expressions() if operation else ():
            for root in _FIELD_ROOTS:
                yield from sorted(fields_read(expression.text, root) or ())
