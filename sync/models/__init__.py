"""Which tables hold what is delivered?"""

from sync.models.alarm import Alarm, AlarmKind, Channel, News, Snooze, Telling, TellingState
from sync.models.attempt import Attempt, Call, Cause, Outcome, Weight
from sync.models.backtest import BackTest, BackTestState
from sync.models.connection import Breaker, Connection, ConnectionTest, Side
from sync.models.counts import (
    CallCount,
    CountedHour,
    CountMark,
    EventCount,
    FailureCount,
    RefusalCount,
)
from sync.models.delivery import OPEN_STATES, SETTLED_STATES, WAITING, Delivery, Link, Takes
from sync.models.erasure import Erasure, ErasureState, Ground
from sync.models.failure import Care, FailureDecision, FailureGroup
from sync.models.housekeeping import Kept, Periodic, Pruning
from sync.models.job import OPEN_JOBS, Job, JobState
from sync.models.mapping import DraftState, Mapping, MappingDraft, MappingVersion
from sync.models.replay import Member, MemberState, Pace, Paused, Replay, ReplayState, Request, Skipped
from sync.models.route import Route

__all__ = [
    "OPEN_JOBS",
    "OPEN_STATES",
    "SETTLED_STATES",
    "WAITING",
    "Alarm",
    "AlarmKind",
    "Attempt",
    "BackTest",
    "BackTestState",
    "Breaker",
    "Call",
    "CallCount",
    "Care",
    "Cause",
    "Channel",
    "Connection",
    "ConnectionTest",
    "CountMark",
    "CountedHour",
    "Delivery",
    "DraftState",
    "Erasure",
    "ErasureState",
    "EventCount",
    "FailureCount",
    "FailureDecision",
    "FailureGroup",
    "Ground",
    "Job",
    "JobState",
    "Kept",
    "Link",
    "Mapping",
    "MappingDraft",
    "MappingVersion",
    "Member",
    "MemberState",
    "News",
    "Outcome",
    "Pace",
    "Paused",
    "Periodic",
    "Pruning",
    "RefusalCount",
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
