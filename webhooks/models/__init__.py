"""Which tables hold sources, requests and events?"""

from webhooks.models.capture import CapturedRequest, CaptureWindow
from webhooks.models.event import IN_MIXED_CASE, Event, EventOrigin, State, event_state
from webhooks.models.key_set import (
    KeySet,
    claim_due_key_sets,
    claim_key_set,
    find_key_set,
    record_key_set_fault,
    request_key_set,
    store_key_set,
)
from webhooks.models.pausable import Pausable
from webhooks.models.payload import Payload, indexes_where_set, payload_digest, payload_foreign_key
from webhooks.models.rate_limit import RateLimitState
from webhooks.models.receipt import HANDSHAKE_CODE, OWN_REFERENCE, Receipt, Refusal
from webhooks.models.source import SOURCE_SETTINGS, AnswerMode, Source, SourceSecret
from webhooks.models.subject_key import Pepper, SubjectKey, is_erased
from webhooks.models.subject_key_store import (
    comparison_key,
    erased_entity_id,
    find_or_create_keys,
    keyed_digest,
    last_erasure,
    lock_or_create_keys,
    pseudonym,
    source_key,
    subject_key,
    subject_row_key,
)

__all__ = [
    "HANDSHAKE_CODE",
    "IN_MIXED_CASE",
    "OWN_REFERENCE",
    "SOURCE_SETTINGS",
    "AnswerMode",
    "CaptureWindow",
    "CapturedRequest",
    "Event",
    "EventOrigin",
    "KeySet",
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
    "claim_due_key_sets",
    "claim_key_set",
    "comparison_key",
    "erased_entity_id",
    "event_state",
    "find_key_set",
    "find_or_create_keys",
    "indexes_where_set",
    "is_erased",
    "keyed_digest",
    "last_erasure",
    "lock_or_create_keys",
    "payload_digest",
    "payload_foreign_key",
    "pseudonym",
    "record_key_set_fault",
    "request_key_set",
    "source_key",
    "store_key_set",
    "subject_key",
    "subject_row_key",
]
