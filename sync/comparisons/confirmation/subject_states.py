"""What the hub knows of the subjects of a batch of differences: their deliveries, their links, and erasures."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sync.models import Comparison, ConditionTry, Delivery, Link, Route
from webhooks.models import State, SubjectKey, pseudonym

# The newest failures of a subject are enough: each has the same record.
_MAX_FAILURES = 1_000


@dataclass(frozen=True, slots=True)
class SubjectStates:
    """By the id of the entity. `in_delivery`: a delivery waits or runs. `stopped`: state and code of the delivery that
    is held or, without one, of the newest that has failed. `links`: the record and when it was applied. `erased`: and
    no event has made the entity known again.
    """

    in_delivery: frozenset[str]
    stopped: Mapping[str, tuple[str, str]]
    links: Mapping[str, tuple[str, datetime]]
    erased: frozenset[str]


def read_subject_states(comparison: Comparison, entity_ids: Collection[str]) -> SubjectStates:
    """Read the states of some subjects, by a few statements."""
    ids = sorted(set(entity_ids) - {""})
    subjects = {
        "entity_id__in": ids,
        "entity_type": comparison.entity_type,
        "identity": comparison.identity_id,
        "target": comparison.target_id,
    }
    open_ones = list(Delivery.objects.open().filter(**subjects).values_list("entity_id", "state", "code"))
    failed = Delivery.objects.filter(**subjects, event__entity_id__in=ids, state=State.DEAD).order_by("-pk")
    stopped = {
        entity_id: (str(State.DEAD), code)
        for entity_id, code in reversed(failed.values_list("entity_id", "code")[:_MAX_FAILURES])
    }
    stopped |= {entity_id: (state, code) for entity_id, state, code in open_ones if state == State.HELD}
    links = Link.objects.filter(**subjects).values_list("entity_id", "record_id", "applied_at")
    return SubjectStates(
        frozenset(entity_id for entity_id, state, _ in open_ones if state != State.HELD),
        stopped,
        {entity_id: (record_id, applied_at) for entity_id, record_id, applied_at in links},
        find_erased(comparison, ids),
    )


def find_erased(run: Comparison | ConditionTry, entity_ids: Collection[str]) -> frozenset[str]:
    """Return the entities that were erased and are not known again, by two or three statements."""
    routes = Route.objects.filter(identity=run.identity_id, entity_type=run.entity_type, target=run.target_id)
    sources = sorted(set(routes.values_list("source", flat=True)))
    names = {
        pseudonym(source, run.entity_type, entity_id): entity_id
        for source in sources
        for entity_id in entity_ids
        if entity_id
    }
    # One after the other: each of the two partial indexes serves only a statement that contains its condition.
    destroyed = SubjectKey.objects.filter(pseudonym__in=list(names), destroyed_at__isnull=False)
    erased = {name: names[name] for name in destroyed.values_list("pseudonym", flat=True)}
    if not erased:
        return frozenset()
    live = SubjectKey.objects.filter(pseudonym__in=list(erased), destroyed_at__isnull=True)
    known_again = {names[name] for name in live.values_list("pseudonym", flat=True)}
    return frozenset(erased.values()) - known_again
