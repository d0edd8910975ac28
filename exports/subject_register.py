"""Which exports contain somebody: answered from pseudonyms, without opening an export.

Each export has a key of its own, sealed, that makes a pseudonym of an entity's id. The audit log has the same
pseudonyms where a filter names an entity. Without the keys nobody can tell whom they stand for.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping

from django.db import DEFAULT_DB_ALIAS
from django.db.models import QuerySet

from exports.list_export import split_into_batches
from exports.models import Export, ExportedPerson
from sync.search.event_filter import PERSONAL_PARAMS
from webhooks.encryption.at_rest import seal, unseal

_PSEUDONYM_BYTES = 16
_BATCH_SIZE = 200


def create_register_key() -> bytes:
    """A key for a new export, sealed."""
    return seal(secrets.token_bytes(32))


def decrypt_register_key(export: Export) -> bytes:
    """The key of an export. `CannotOpen` where SEALING_KEYS have it no more."""
    return unseal(bytes(export.register_key))


def make_pseudonym(key: bytes, entity_id: str) -> bytes:
    """Of an entity, in one export."""
    return hmac.digest(key, entity_id.encode(), hashlib.sha256)[:_PSEUDONYM_BYTES]


def register_entities(export: Export, key: bytes, entity_ids: Iterable[str], alias: str) -> None:
    """Keep that the export contains these entities; again is no fault.

    A few at a time, each time in a commit of its own, and only those that are new: ten thousand in one held up every
    webhook for a tenth of a second.
    """
    people = export.people.using(alias)
    for some in split_into_batches(sorted({make_pseudonym(key, each) for each in entity_ids}), _BATCH_SIZE):
        found = people.filter(pseudonym__in=some).values_list("pseudonym", flat=True)
        new = set(some).difference(map(bytes, found))
        rows = [ExportedPerson(export=export, pseudonym=each) for each in new]
        people.bulk_create(rows, ignore_conflicts=True)


def clear_register(export: Export, alias: str = DEFAULT_DB_ALIAS) -> None:
    """Let it contain nobody. A few at a time, as above."""
    people = export.people.using(alias)
    while some := list(people.values_list("pk", flat=True)[:_BATCH_SIZE]):
        people.filter(pk__in=some).delete()


def exports_containing(entity_id: str) -> QuerySet[Export]:
    """The exports that contain an entity, expired ones too. One look into an index for each export that there is."""
    found = [
        export.pk
        for export in Export.objects.only("id", "register_key").iterator()
        if export.people.filter(pseudonym=make_pseudonym(decrypt_register_key(export), entity_id)).exists()
    ]
    return Export.objects.filter(pk__in=found)


def pseudonymize_filter(params: Mapping[str, str], key: bytes) -> dict[str, str]:
    """A filter as the audit log may keep it: whoever is named by it is named by pseudonym."""
    return {
        name: make_pseudonym(key, value).hex() if name in PERSONAL_PARAMS else value
        for name, value in params.items()
    }
