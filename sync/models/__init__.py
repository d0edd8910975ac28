"""What the delivering half keeps."""

from sync.models.attempt import Attempt, Call, Cause, Outcome, Replay, Weight
from sync.models.breaker import Breaker
from sync.models.connection import Connection, Side
from sync.models.delivery import OPEN_STATES, SETTLED_STATES, Delivery, Link
from sync.models.route import Mapping, MappingVersion, Route

__all__ = [
    "OPEN_STATES",
    "SETTLED_STATES",
    "Attempt",
    "Breaker",
    "Call",
    "Cause",
    "Connection",
    "Delivery",
    "Link",
    "Mapping",
    "MappingVersion",
    "Outcome",
    "Replay",
    "Route",
    "Side",
    "Weight",
]
