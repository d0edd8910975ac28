"""What people wrote, and whom they looked for, once somebody is erased: nothing of it says any more who it was."""

import re
from typing import Any

from django.contrib.admin.models import LogEntry
from django.db import transaction
from django.db.models import Q

from sync.models import Attempt, Delivery, Erasure, ErasureState, MappingDraft, MappingVersion, Replay, Snooze
from sync.subject_rows import Person
from webhooks.models import erased_id

# Free text of people; small tables, which are read whole.
WRITTEN: tuple[tuple[Any, str], ...] = (
    (Replay, "reason"),
    (Snooze, "reason"),
    (Erasure, "reason"),
    (MappingDraft, "note"),
    (MappingVersion, "note"),
    (MappingVersion, "reason"),
    (LogEntry, "object_repr"),
    (LogEntry, "change_message"),
)
WITHHELD = "erased with the person whom it was about"


def withhold_reasons(whose: Person) -> None:
    """What people wrote: the reason of a request about this entity alone is withheld, elsewhere only its id."""
    name = erased_id(next(iter(whose.pseudonyms.values()), ""))
    with transaction.atomic():
        alone = [each.pk for each in whose.replays if _is_alone(each, whose)]
        Replay.objects.filter(pk__in=alone).update(reason=WITHHELD)
        for model, column in WRITTEN:
            _replace(model, column, whose.entity_id, name)
        _forget_filters(whose.entity_id, name)


def _is_alone(replay: Replay, whose: Person) -> bool:
    tried = Attempt.objects.filter(replay=replay).exclude(delivery__in=whose.deliveries.values("pk"))
    others = Delivery.objects.filter(replay=replay).exclude(pk__in=whose.deliveries.values("pk"))
    return not (tried.exists() or others.exists())


def _replace(model: Any, column: str, entity_id: str, name: str) -> None:
    """Where the id stands as a word of its own, whatever its case."""
    word = re.compile(rf"(?<![A-Za-z0-9_-]){re.escape(entity_id)}(?![A-Za-z0-9_-])", re.IGNORECASE)
    found = model.objects.filter(**{f"{column}__icontains": entity_id})
    for key, text in found.values_list("pk", column):
        longest = model._meta.get_field(column).max_length
        fresh = word.sub(name, text)[:longest]
        if fresh != text:
            model.objects.filter(pk=key).update(**{column: fresh})


def _forget_filters(entity_id: str, name: str) -> None:
    """What a replay was chosen by, where that was this entity."""
    naming = Replay.objects.filter(Q(filter__has_key="entity_id") | Q(filter__has_key="q"))
    for key, words in naming.values_list("pk", "filter"):
        if words and entity_id in words.values():
            fresh = {word: name if value == entity_id else value for word, value in words.items()}
            Replay.objects.filter(pk=key).update(filter=fresh)


def forget_refused(whose: Person, name: str) -> None:
    """Earlier requests that came to nothing say who it was, too."""
    earlier = Erasure.objects.filter(entity_type=whose.entity_type, entity_id=whose.entity_id)
    for pk, sources in earlier.filter(state=ErasureState.REFUSED).values_list("pk", "sources"):
        if set(sources) & set(whose.sources):
            Erasure.objects.filter(pk=pk).update(entity_id=name, reason=WITHHELD)
