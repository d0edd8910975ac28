"""Which tables hold what came in?"""

from webhooks.models.capture import CapturedRequest, CaptureWindow
from webhooks.models.event import Event, State, event_state
from webhooks.models.pausable import Pausable
from webhooks.models.payload import Payload, indexes_where_set, payload_foreign_key
from webhooks.models.rate_limit import RateLimitState
from webhooks.models.receipt import Receipt, Refusal
from webhooks.models.source import SOURCE_SETTINGS, AnswerMode, Source, SourceSecret
from webhooks.models.subject_key import Pepper, SubjectKey, is_erased
from webhooks.models.subject_key_store import (
    erased_entity_id,
    find_or_create_keys,
    keyed_digest,
    lock_or_create_keys,
    pseudonym,
    subject_key,
    subject_row_key,
)

__all__ = [
    "SOURCE_SETTINGS",
    "AnswerMode",
    "CaptureWindow",
    "CapturedRequest",
    "Event",
    "Pausable",
    "Payload",
    "Pepper",
    "RateLimitState",
    "Receipt",
    "Refusal",
    "Source",
    "SourceSecret",
    "State",
    "SubjectKey",
    "erased_entity_id",
    "event_state",
    "find_or_create_keys",
    "indexes_where_set",
    "is_erased",
    "keyed_digest",
    "lock_or_create_keys",
    "payload_foreign_key",
    "pseudonym",
    "subject_key",
    "subject_row_key",
]
