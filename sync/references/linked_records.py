"""Find the records of the entities that a record refers to, by their links only."""

from collections import defaultdict
from collections.abc import Mapping
from functools import partial

from sync.models import Delivery, Link
from sync.planning.references import FindRecords, Reference

# Of one statement: the databases limit the number of parameters.
_BATCH_SIZE = 500


def record_finder(identity_id: int, target_id: int) -> FindRecords:
    """Return the function that finds the records of entities of an identity service in a target."""
    return partial(_find_records, identity_id, target_id)


def record_finder_of(delivery: Delivery) -> FindRecords:
    """Return the function that finds the records which the record of a delivery may refer to."""
    return record_finder(delivery.identity_id, delivery.target_id)


def _find_records(
    identity_id: int, target_id: int, references: frozenset[Reference]
) -> Mapping[Reference, str]:
    """Return the record ids of those entities that are linked to a record which was not deleted.

    Reads the links by their unique index, in statements of 500 entities of one type.
    """
    by_type: dict[str, list[str]] = defaultdict(list)
    for reference in references:
        by_type[reference.entity_type].append(reference.entity_id)
    found = {}
    for entity_type, ids in by_type.items():
        for first in range(0, len(ids), _BATCH_SIZE):
            links = Link.objects.filter(
                identity=identity_id,
                target=target_id,
                entity_type=entity_type,
                entity_id__in=ids[first : first + _BATCH_SIZE],
            ).exclude(record_id="")
            for entity_id, record_id in links.values_list("entity_id", "record_id"):
                found[Reference(entity_type, entity_id)] = record_id
    return found
