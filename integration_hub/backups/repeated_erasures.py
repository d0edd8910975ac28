"""Repeat the erasures that a restored backup does not know of yet."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from sync.erasure.erase import run_erasure
from sync.erasure.erasure_list import ListedErasure
from sync.erasure.requests import JOB_KIND
from sync.jobs.submission import submit_job
from sync.models import Erasure, ErasureState, Link
from webhooks.models import Event, Source, is_erased, pseudonym

_STAND_IN = "restored-erasures"
_REASON = "repeated after a backup was restored"
Subjects = dict[tuple[str, str], set[int]]  # entity type and id: sources


def repeat_erasures(listed: Iterable[ListedErasure]) -> tuple[int, int]:
    """Repeat the erasures that were made after the backup. Returns how many are done, and how many wait.

    Erasures that the backup knows as done are left: the same person may have come back since.
    """
    done = waiting = 0
    states = {str(uuid): state for uuid, state in Erasure.objects.values_list("uuid", "state")}
    unknown = {
        erasure.erasure: erasure for erasure in listed if states.get(erasure.erasure) != ErasureState.DONE
    }
    subjects = _find_subjects({name for erasure in unknown.values() for name in erasure.pseudonyms})
    for erasure in unknown.values():
        for (entity_type, entity_id), sources in _match_erasure_subjects(erasure, subjects):
            row = _confirm(erasure, entity_type, entity_id, sources)
            is_done = run_erasure(row)
            done, waiting = done + is_done, waiting + (not is_done)
    return done, waiting


def _find_subjects(names: set[str]) -> dict[str, tuple[str, str, int]]:
    """Return entity type, id and source of each of these pseudonyms that belongs to a stored entity."""
    if not names:
        return {}
    sources = list(Source.objects.values_list("pk", flat=True))
    subjects = {}
    for entity_type, entity_id in _stored_entities():
        for source in sources:
            name = pseudonym(source, entity_type, entity_id)
            if name in names:
                subjects[name] = (entity_type, entity_id, source)
    return subjects


def _stored_entities() -> Iterator[tuple[str, str]]:
    """Yield type and id of all stored entities that are not erased; some of them twice."""
    for model in (Event, Link):
        entities = model._base_manager.order_by().values_list("entity_type", "entity_id").distinct()
        for entity_type, entity_id in entities.iterator():
            if entity_id and not is_erased(entity_id):
                yield entity_type, entity_id


def _match_erasure_subjects(
    erasure: ListedErasure, subjects: dict[str, tuple[str, str, int]]
) -> Iterator[tuple[tuple[str, str], set[int]]]:
    by_entity: Subjects = defaultdict(set)
    for name in erasure.pseudonyms:
        if name in subjects:
            entity_type, entity_id, source = subjects[name]
            by_entity[entity_type, entity_id].add(source)
    yield from by_entity.items()


@transaction.atomic
def _confirm(listed: ListedErasure, entity_type: str, entity_id: str, sources: set[int]) -> Erasure:
    """Return the confirmed erasure of an entity, with its job. A request that was open in the backup is withdrawn."""
    now, users = timezone.now(), get_user_model()._default_manager
    same = Erasure.objects.filter(entity_type=entity_type, entity_id=entity_id)
    confirmed = same.filter(state=ErasureState.CONFIRMED).first()
    if confirmed is None:
        same.filter(state=ErasureState.REQUESTED).exclude(uuid=listed.erasure).update(
            state=ErasureState.REFUSED, decided_at=now, ended_at=now
        )
        people = set(
            users.filter(pk__in=[listed.requested_by, listed.decided_by]).values_list("pk", flat=True)
        )
        requested_by = listed.requested_by if listed.requested_by in people else _stand_in().pk
        values = {
            "entity_type": entity_type,
            "entity_id": entity_id,
            "sources": sorted(sources),
            "ground": listed.ground,
            "case_number": listed.case_number,
            "state": ErasureState.CONFIRMED,
            "decided_by_id": listed.decided_by if listed.decided_by in people else None,
            "decided_at": now,
        }
        first = {"reason": _REASON, "requested_by_id": requested_by, "requested_at": now}
        confirmed, _ = Erasure.objects.update_or_create(
            uuid=listed.erasure, defaults=values, create_defaults=values | first
        )
    submit_job(JOB_KIND, confirmed.pk)
    return confirmed


def _stand_in() -> Any:
    """Return the inactive account that stands for people whom the backup does not know."""
    users = get_user_model()._default_manager
    user, is_new = users.get_or_create(username=_STAND_IN, defaults={"is_active": False})
    if is_new:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    return user
