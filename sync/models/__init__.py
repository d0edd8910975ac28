"""What the delivering half keeps."""

from sync.models.alarm import Alarm, AlarmKind, Channel, News, Snooze, Telling, TellingState
from sync.models.attempt import Attempt, Call, Cause, Outcome, Weight
from sync.models.breaker import Breaker
from sync.models.connection import Connection, Side
from sync.models.delivery import OPEN_STATES, SETTLED_STATES, Delivery, Link, Takes
from sync.models.erasure import Erasure, ErasureState, Ground
from sync.models.periodic import Periodic
from sync.models.pruning import Kept, Pruning
from sync.models.replay import Member, MemberState, Pace, Paused, Replay, ReplayState, Request, Skipped
from sync.models.route import Mapping, MappingVersion, Route

__all__ = [
    "OPEN_STATES",
    "SETTLED_STATES",
    "Alarm",
    "AlarmKind",
    "Attempt",
    "Breaker",
    "Call",
    "Cause",
    "Channel",
    "Connection",
    "Delivery",
    "Erasure",
    "ErasureState",
    "Ground",
    "Kept",
    "Link",
    "Mapping",
    "MappingVersion",
    "Member",
    "MemberState",
    "News",
    "Outcome",
    "Pace",
    "Paused",
    "Periodic",
    "Pruning",
    "Replay",
    "ReplayState",
    "Request",
    "Route",
    "Side",
    "Skipped",
    "Snooze",
    "Takes",
    "Telling",
    "TellingState",
    "Weight",
]
