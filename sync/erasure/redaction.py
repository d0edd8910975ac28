"""What people wrote, and whom they looked for, once somebody is erased: nothing of it says any more who it was."""

import re
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Q

from sync.erasure.subject_data import ErasureSubject, replays_by_event
from sync.models import (
    Attempt,
    Delivery,
    Erasure,
    ErasureState,
    FailureDecision,
    FailureGroup,
    MappingDraft,
    MappingVersion,
    Member,
    Replay,
    Route,
    Snooze,
)
from sync.search.event_filter import PERSONAL_PARAMS
from webhooks.models import Source, erased_id

# Free text of people; small tables, which are read whole.
FREE_TEXT_COLUMNS: tuple[tuple[Any, str], ...] = (
    (Replay, "reason"),
    (Snooze, "reason"),
    (Erasure, "reason"),
    (MappingDraft, "note"),
    (MappingVersion, "note"),
    (MappingVersion, "reason"),
    (FailureDecision, "reason"),
    (FailureGroup, "note"),
    (FailureGroup, "known_fix"),
    (Source, "pause_reason"),
    (Route, "pause_reason"),
)
REDACTED_TEXT = "erased with the person whom it was about"


def redact_replay_reasons(whose: ErasureSubject) -> None:
    """The reason of what people asked for about this entity alone, while its rows still say so."""
    requests = replays_by_event(whose)
    asked = Replay.objects.filter(pk__in=requests)
    alone = [each.pk for each in asked if _concerns_only(each, requests[each.pk])]
    asked.filter(pk__in=alone).update(reason=REDACTED_TEXT)


def redact_free_text(whose: ErasureSubject) -> None:
    """In whatever else people wrote only the id is replaced."""
    name = erased_id(next(iter(whose.pseudonyms.values()), ""))
    with transaction.atomic():
        for model, column in FREE_TEXT_COLUMNS:
            _redact_column(model, column, whose.entity_id, name)
        _redact_filters(whose.entity_id, name)


def _concerns_only(request: Replay, own: set[int]) -> bool:
    """Whether it is about no event but these. It counts more of them where nothing else says which they were."""
    tried = Attempt.objects.filter(replay=request).exclude(delivery__event__in=own)
    others = Delivery.objects.filter(replay=request).exclude(event__in=own)
    members = Member.objects.filter(replay=request).exclude(event__in=own)
    return request.events <= len(own) and not any(each.exists() for each in (tried, others, members))


def _redact_column(model: Any, column: str, entity_id: str, name: str) -> None:
    found = model.objects.filter(**{f"{column}__icontains": entity_id})
    for key, text in found.values_list("pk", column):
        fresh = replace_id_in_text(text, entity_id, name)[: model._meta.get_field(column).max_length]
        if fresh != text:
            model.objects.filter(pk=key).update(**{column: fresh})


def replace_id_in_text(text: str, entity_id: str, name: str) -> str:
    """A text, with the name in place of the id where that stands as a word of its own, whatever its case."""
    word = rf"(?<![A-Za-z0-9_-]){re.escape(entity_id)}(?![A-Za-z0-9_-])"
    return re.sub(word, name, text, flags=re.IGNORECASE)


def _redact_filters(entity_id: str, name: str) -> None:
    """What a replay was chosen by, where that was this entity."""
    naming = Replay.objects.filter(Q(filter__has_key="entity_id") | Q(filter__has_key="q"))
    for key, words in naming.values_list("pk", "filter"):
        fresh = replace_id_in_filter(words or {}, entity_id, name)
        if words and fresh != words:
            Replay.objects.filter(pk=key).update(filter=fresh)


def replace_id_in_filter(words: Mapping[str, str], entity_id: str, name: str) -> dict[str, str]:
    """The words of a filter, with the name in place of the id where one of them is that id."""
    return {
        word: name if word in PERSONAL_PARAMS and value.strip() == entity_id else value
        for word, value in words.items()
    }


def redact_refused_erasures(whose: ErasureSubject, name: str) -> None:
    """Earlier requests that came to nothing say who it was, too."""
    earlier = Erasure.objects.filter(entity_type=whose.entity_type, entity_id=whose.entity_id)
    for pk, sources in earlier.filter(state=ErasureState.REFUSED).values_list("pk", "sources"):
        if set(sources) & set(whose.sources):
            Erasure.objects.filter(pk=pk).update(entity_id=name, reason=REDACTED_TEXT)
