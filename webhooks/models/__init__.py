"""What the receiving half keeps."""

from webhooks.models.event import Event, State, worst
from webhooks.models.pace import Pace
from webhooks.models.payload import Payload, indexes_where_set
from webhooks.models.receipt import Receipt, Refusal
from webhooks.models.source import Mode, Source, SourceSecret

__all__ = [
    "Event",
    "Mode",
    "Pace",
    "Payload",
    "Receipt",
    "Refusal",
    "Source",
    "SourceSecret",
    "State",
    "indexes_where_set",
    "worst",
]
