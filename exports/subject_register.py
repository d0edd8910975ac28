"""Answer which exports contain a person, from pseudonyms, without opening an export.

Each export has a key of its own, encrypted, that makes a pseudonym of an entity's id. The audit log has the same
pseudonyms where a filter names an entity. Without the keys they identify no one.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping

from django.db import DEFAULT_DB_ALIAS
from django.db.models import QuerySet

from database.encryption.at_rest import decrypt, encrypt
from exports.list_export import split_into_batches
from exports.models import Export, ExportedPerson
from sync.search.event_filter import PERSONAL_PARAMS

_PSEUDONYM_BYTES = 16
_BATCH_SIZE = 200


def create_register_key() -> bytes:
    """Return a new random register key, encrypted."""
    return encrypt(secrets.token_bytes(32))


def decrypt_register_key(export: Export) -> bytes:
    """Return the register key of an export, decrypted. Raises CannotDecrypt if SEALING_KEYS has no key for it any
    more.
    """
    return decrypt(bytes(export.register_key))


def make_pseudonym(key: bytes, entity_id: str) -> bytes:
    """Return the pseudonym of an entity under the key of one export."""
    return hmac.digest(key, entity_id.encode(), hashlib.sha256)[:_PSEUDONYM_BYTES]


def register_entities(export: Export, key: bytes, entity_ids: Iterable[str], alias: str) -> None:
    """Record that the export contains these entities. Entities that are registered already are ignored."""
    people = export.people.using(alias)
    pseudonyms = sorted({make_pseudonym(key, entity_id) for entity_id in entity_ids})
    # Small commits of new rows only: ten thousand rows in one commit held up every webhook for a tenth of a second.
    for batch in split_into_batches(pseudonyms, _BATCH_SIZE):
        known = people.filter(pseudonym__in=batch).values_list("pseudonym", flat=True)
        new = set(batch).difference(map(bytes, known))
        rows = [ExportedPerson(export=export, pseudonym=pseudonym) for pseudonym in new]
        people.bulk_create(rows, ignore_conflicts=True)


def clear_register(export: Export, alias: str = DEFAULT_DB_ALIAS) -> None:
    """Remove all entities from the register of an export, in small commits."""
    people = export.people.using(alias)
    while batch := list(people.values_list("pk", flat=True)[:_BATCH_SIZE]):
        people.filter(pk__in=batch).delete()


def exports_containing(entity_id: str) -> QuerySet[Export]:
    """Return the exports that contain an entity, expired ones too. Takes one index lookup for each export."""
    # An entity has another pseudonym in each export, so no single query can ask all of them.
    containing = [
        export.pk
        for export in Export.objects.only("id", "register_key").iterator()
        if export.people.filter(pseudonym=make_pseudonym(decrypt_register_key(export), entity_id)).exists()
    ]
    return Export.objects.filter(pk__in=containing)


def pseudonymize_filter(params: Mapping[str, str], key: bytes) -> dict[str, str]:
    """Return the filter parameters with a pseudonym in place of each value that names a person."""
    return {
        name: make_pseudonym(key, value).hex() if name in PERSONAL_PARAMS else value
        for name, value in params.items()
    }
