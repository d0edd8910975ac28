"""Remove an erased person from texts that people wrote and from filters that they used."""

import re
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Q

from sync.erasure.subject_data import ErasureSubject, replays_by_event
from sync.models import (
    Attempt,
    Connection,
    Delivery,
    Erasure,
    ErasureState,
    FailureDecision,
    FailureGroup,
    MappingDraft,
    MappingVersion,
    MatchLinking,
    PersonRequest,
    PersonRequestMember,
    Relinking,
    Route,
    Snooze,
)
from sync.search.event_filter import PERSONAL_PARAMS
from webhooks.models import Source, erased_entity_id

# Free text of people; small tables, which are read whole.
FREE_TEXT_COLUMNS: tuple[tuple[Any, str], ...] = (
    (PersonRequest, "reason"),
    (Snooze, "reason"),
    (Erasure, "reason"),
    (Erasure, "case_number"),
    (MappingDraft, "note"),
    (MappingVersion, "note"),
    (MappingVersion, "reason"),
    (FailureDecision, "reason"),
    (FailureGroup, "note"),
    (FailureGroup, "known_fix"),
    (Source, "pause_reason"),
    (Route, "pause_reason"),
    (Connection, "pause_reason"),
    (Relinking, "reason"),
    (MatchLinking, "reason"),
)
REDACTED_TEXT = "erased together with the person's data"


def redact_replay_reasons(subject: ErasureSubject) -> None:
    """Redact the reasons of replays of this entity alone, while their rows still show that."""
    requests = replays_by_event(subject)
    replays = PersonRequest.objects.filter(pk__in=requests)
    own_replays = [replay.pk for replay in replays if _concerns_only(replay, requests[replay.pk])]
    replays.filter(pk__in=own_replays).update(reason=REDACTED_TEXT)


def redact_free_text(subject: ErasureSubject) -> None:
    """Replace the entity's id in all other free text."""
    name = erased_entity_id(next(iter(subject.pseudonyms.values()), ""))
    with transaction.atomic():
        for model, column in FREE_TEXT_COLUMNS:
            _redact_column(model, column, subject.entity_id, name)
        _redact_filters(subject.entity_id, name)


def _concerns_only(request: PersonRequest, own: set[int]) -> bool:
    """Return True if a replay concerns no other events than `own`. Its own count decides if no row names the
    others.
    """
    attempts = Attempt.objects.filter(person_request=request).exclude(delivery__event__in=own)
    others = Delivery.objects.filter(person_request=request).exclude(event__in=own)
    members = PersonRequestMember.objects.filter(person_request=request).exclude(event__in=own)
    return request.events <= len(own) and not any(rows.exists() for rows in (attempts, others, members))


def _redact_column(model: Any, column: str, entity_id: str, name: str) -> None:
    matching = model.objects.filter(**{f"{column}__icontains": entity_id})
    for key, text in matching.values_list("pk", column):
        # The pseudonym may be longer than the id.
        redacted = replace_id_in_text(text, entity_id, name)[: model._meta.get_field(column).max_length]
        if redacted != text:
            model.objects.filter(pk=key).update(**{column: redacted})


def replace_id_in_text(text: str, entity_id: str, name: str) -> str:
    """Replace the id in a text where it stands as a separate word, in any case."""
    # Not `\b`, which would match inside an id with a hyphen.
    word = rf"(?<![A-Za-z0-9_-]){re.escape(entity_id)}(?![A-Za-z0-9_-])"
    return re.sub(word, name, text, flags=re.IGNORECASE)


def _redact_filters(entity_id: str, name: str) -> None:
    """Replace the id in the filters that replays were selected by."""
    matching = PersonRequest.objects.filter(Q(filter__has_key="entity_id") | Q(filter__has_key="q"))
    for key, params in matching.values_list("pk", "filter"):
        redacted = replace_id_in_filter(params or {}, entity_id, name)
        if params and redacted != params:
            PersonRequest.objects.filter(pk=key).update(filter=redacted)


def replace_id_in_filter(params: Mapping[str, str], entity_id: str, name: str) -> dict[str, str]:
    """Replace the id in the parameters of a filter if one of them equals it."""
    return {
        param: name if param in PERSONAL_PARAMS and value.strip() == entity_id else value
        for param, value in params.items()
    }


def redact_refused_erasures(subject: ErasureSubject, name: str) -> None:
    """Remove the id from refused erasure requests of the same entity."""
    earlier = Erasure.objects.filter(entity_type=subject.entity_type, entity_id=subject.entity_id)
    for pk, sources in earlier.filter(state=ErasureState.REFUSED).values_list("pk", "sources"):
        if set(sources) & set(subject.sources):
            Erasure.objects.filter(pk=pk).update(entity_id=name, reason=REDACTED_TEXT)
