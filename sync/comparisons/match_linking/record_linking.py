"""Link a record that was found by a value to its subject, in one commit, if nothing has become of either meanwhile."""

from collections.abc import Collection, Mapping
from typing import Any

from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from sync.comparisons.confirmation.subject_states import read_subject_states
from sync.deliveries.record_links import bind_record, stream_of_entity
from sync.deliveries.routes import is_referenced
from sync.models import Comparison, Connection, Delivery, Difference, MatchChoice, MatchOutcome
from sync.references.missing_references import schedule_referring
from sync.replays.entity_members import erased_entities
from webhooks.models import State


def pair_filter(comparison: Comparison) -> dict[str, Any]:
    """Return the columns of a subject of a comparison, without its id, for a filter or a new row."""
    return {
        "identity": comparison.identity,
        "entity_type": comparison.entity_type,
        "target": comparison.target,
    }


def subject_of(comparison: Comparison, entity_id: str) -> Delivery:
    """Return an unsaved delivery of a subject, which names it."""
    return Delivery(**pair_filter(comparison), entity_id=entity_id)


def find_excluded(comparison: Comparison, entity_ids: Collection[str]) -> dict[str, MatchOutcome]:
    """Return why subjects are left out, by the id of the entity, by a number of statements that does not depend on
    theirs: erased, in delivery, held, or with a record.
    """
    states = read_subject_states(comparison, entity_ids)
    erased = states.erased | erased_entities(comparison.route, entity_ids)
    held = {entity_id for entity_id, (state, _) in states.stopped.items() if state == State.HELD}
    linked = {entity_id for entity_id, (record_id, _) in states.links.items() if record_id}
    found = (
        (MatchOutcome.HELD, held),
        (MatchOutcome.HAS_RECORD, linked),
        (MatchOutcome.IN_DELIVERY, states.in_delivery),
        (MatchOutcome.ERASED, erased),
    )
    return {entity_id: outcome for outcome, ids in found for entity_id in ids}


def find_chosen(comparison: Comparison, entity_ids: Collection[str]) -> set[str]:
    """Return the subjects about which a person has decided already: that they get a new record, or are left."""
    choices = MatchChoice.objects.filter(**pair_filter(comparison), entity_id__in=entity_ids)
    return set(choices.values_list("entity_id", flat=True))


def link_found_record(
    comparison: Comparison, entity_id: str, record_id: str, actor: str, details: Mapping[str, JSONValue]
) -> MatchOutcome:
    """Link a record to a subject of a comparison. Call it in a transaction, and `schedule_awaiting` after its commit.
    Nothing is sent. Returns `linked`, or why nothing was written.

    1. Lock the differences of the subject, which an erasure deletes before its links: none begins until the commit.
    2. Lock the target connection: links to its records are made one after the other.
    3. Check that the subject is not erased, in delivery, held or linked.
    4. Link the record, unless it is linked to any other subject of any identity connection; and append the entry.
    """
    rows = Difference.objects.filter(comparison=comparison, entity_id=entity_id).order_by("pk")
    if not list(rows.select_for_update().values_list("pk", flat=True)):
        return MatchOutcome.CHANGED
    Connection.objects.select_for_update(no_key=True).values_list("pk").get(pk=comparison.target_id)
    excluded = find_excluded(comparison, [entity_id]).get(entity_id)
    if excluded is not None:
        return excluded
    if not bind_record(subject_of(comparison, entity_id), record_id):
        return MatchOutcome.RECORD_TAKEN
    # Without the id of the record, which may identify a person.
    stream = stream_of_entity(comparison.entity_type, entity_id, comparison.target)
    entry = {"connection": comparison.target.slug, "comparison": str(comparison.uuid), **details}
    append_entries(NewEntry(stream, "link.created", actor, entry))
    return MatchOutcome.LINKED


def schedule_awaiting(comparison: Comparison, entity_id: str) -> None:
    """Let deliveries of records that refer to a subject run, which has a record now."""
    if is_referenced(comparison.target_id, comparison.entity_type):
        schedule_referring(subject_of(comparison, entity_id))
