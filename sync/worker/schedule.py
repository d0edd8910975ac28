"""The periodic work of a worker: each task and when it is due."""

from datetime import time

from sync.erasure.erase import erase_confirmed
from sync.execution.periodic import Daily, Every, Work
from sync.housekeeping.audit_upkeep import look_at_everything, send_checkpoint
from sync.housekeeping.cleanup import prune
from sync.monitoring.alarms import look
from sync.operations.failure_groups import keep_failure_groups
from sync.operations.pauses import look_at_pauses, look_for_forgotten
from sync.statistics.recount import count

PERIODIC = (
    Work("alarms", Every(30.0), look),
    Work("pauses", Every(2.0), look_at_pauses),
    Work("forgotten", Every(300.0), look_for_forgotten),
    Work("checkpoints", Every(60.0), send_checkpoint),
    Work("counts", Every(15.0), count),
    Work("failures", Every(15.0), keep_failure_groups),
)
# What may take long where there is much, on a thread of its own each: an erasure waits for no verification.
LONG = (
    Work("audit", Daily(time(2, 47)), look_at_everything),
    Work("cleanup", Daily(time(3, 17)), prune),
    Work("erasures", Every(10.0), erase_confirmed),
)
