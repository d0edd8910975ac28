"""Which tables hold what is delivered?"""

from sync.models.alarm import (
    Alarm,
    AlarmKind,
    Notification,
    NotificationChannel,
    NotificationKind,
    NotificationState,
    Snooze,
)
from sync.models.attempt import Attempt, AttemptCause, AttemptOutcome, Call, ChangeCategory, Finding
from sync.models.backtest import BackTest, BackTestState
from sync.models.connection import (
    CONNECTION_SETTINGS,
    Breaker,
    Connection,
    ConnectionSide,
    ConnectionTest,
    LogInAttempt,
)
from sync.models.counts import (
    CallCount,
    CountedHour,
    CountMark,
    EventCount,
    FailureCount,
    RefusalCount,
)
from sync.models.delivery import (
    MATCH_HELD_CODE,
    OPEN_STATES,
    SETTLED_STATES,
    WAITING_STATES,
    Delivery,
    Link,
    MissingReference,
    PayloadChoice,
    delivery_stream,
)
from sync.models.erasure import Erasure, ErasureState, LegalGround
from sync.models.failure import FailureDecision, FailureGroup, FailureGroupState
from sync.models.housekeeping import PeriodicTask, PruningRun, RetentionCategory
from sync.models.job import OPEN_JOB_STATES, Job, JobState
from sync.models.mapping import DraftState, Mapping, MappingDraft, MappingVersion
from sync.models.recheck import Recheck, new_recheck
from sync.models.replay import (
    MemberState,
    Replay,
    ReplayKind,
    ReplayMember,
    ReplayPace,
    ReplayPauseReason,
    ReplayState,
    SkipReason,
)
from sync.models.route import ROUTE_SETTINGS, Route

__all__ = [
    "CONNECTION_SETTINGS",
    "MATCH_HELD_CODE",
    "OPEN_JOB_STATES",
    "OPEN_STATES",
    "ROUTE_SETTINGS",
    "SETTLED_STATES",
    "WAITING_STATES",
    "Alarm",
    "AlarmKind",
    "Attempt",
    "AttemptCause",
    "AttemptOutcome",
    "BackTest",
    "BackTestState",
    "Breaker",
    "Call",
    "CallCount",
    "ChangeCategory",
    "Connection",
    "ConnectionSide",
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
    "FailureGroupState",
    "Finding",
    "Job",
    "JobState",
    "LegalGround",
    "Link",
    "LogInAttempt",
    "Mapping",
    "MappingDraft",
    "MappingVersion",
    "MemberState",
    "MissingReference",
    "Notification",
    "NotificationChannel",
    "NotificationKind",
    "NotificationState",
    "PayloadChoice",
    "PeriodicTask",
    "PruningRun",
    "Recheck",
    "RefusalCount",
    "Replay",
    "ReplayKind",
    "ReplayMember",
    "ReplayPace",
    "ReplayPauseReason",
    "ReplayState",
    "RetentionCategory",
    "Route",
    "SkipReason",
    "Snooze",
    "delivery_stream",
    "new_recheck",
]
