"""The work of a worker beside deliveries: periodic work and when it is due, and jobs that people asked for."""

from datetime import time

from sync.erasure.late_payloads import delete_late_payloads
from sync.execution.periodic import Daily, Every, Work
from sync.housekeeping.audit_upkeep import look_at_everything, send_checkpoint
from sync.housekeeping.cleanup import prune
from sync.jobs.run import tidy_up
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
# What may take long where there is much, on a thread of its own each.
LONG = (
    Work("audit", Daily(time(2, 47)), look_at_everything),
    Work("cleanup", Daily(time(3, 17)), prune),
    Work("late-payloads", Every(10.0), delete_late_payloads),
    Work("jobs", Every(600.0), tidy_up),
)
