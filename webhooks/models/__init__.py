"""What the receiving half keeps."""

from webhooks.models.event import Event, State, worst
from webhooks.models.pace import Pace
from webhooks.models.pausing import Pausable
from webhooks.models.payload import Payload, indexes_where_set
from webhooks.models.receipt import Receipt, Refusal
from webhooks.models.source import Mode, Source, SourceSecret
from webhooks.models.subject import Pepper, SubjectKey, is_erased
from webhooks.models.subject_keys import (
    are_there_still,
    erased_id,
    keys_of_subjects,
    look_all_up,
    look_up,
    pseudonym,
    subject_key,
)

__all__ = [
    "Event",
    "Mode",
    "Pace",
    "Pausable",
    "Payload",
    "Pepper",
    "Receipt",
    "Refusal",
    "Source",
    "SourceSecret",
    "State",
    "SubjectKey",
    "are_there_still",
    "erased_id",
    "indexes_where_set",
    "is_erased",
    "keys_of_subjects",
    "look_all_up",
    "look_up",
    "pseudonym",
    "subject_key",
    "worst",
]
