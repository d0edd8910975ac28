"""The periodic work of a worker and its schedule."""

from datetime import time

from logins.attempt_counts import report_past_hours
from sync.catch_up.schedule import begin_due_catch_ups
from sync.comparisons.repairs import repair_after_schedules
from sync.comparisons.schedule import request_due_comparisons
from sync.erasure.late_payloads import delete_late_payloads
from sync.execution.connection_probes import probe_paused_connections
from sync.execution.periodic import DailyAt, EverySeconds, ScheduledWork
from sync.housekeeping.audit_upkeep import NIGHTLY_CHECK, send_checkpoint, verify_audit_log_nightly
from sync.housekeeping.key_sets import refresh_key_sets
from sync.housekeeping.retention_rules import prune_expired
from sync.jobs.job_execution import clean_up_jobs
from sync.monitoring.alarms import evaluate_alarms
from sync.operations.failure_groups import refresh_failure_groups
from sync.operations.ids_changed import pause_changed_targets
from sync.operations.pauses import enforce_pauses, release_stranded
from sync.operations.superseded_failures import supersede_failures
from sync.pairs.drafts import delete_expired_drafts
from sync.rechecks.due_rechecks import run_rechecks
from sync.references.missing_references import schedule_all_arrived
from sync.statistics.periodic_recount import recount_stale_hours
from webhooks.captures.capture_windows import clean_up_captures

PERIODIC = (
    # Before the alarms: what became due while no worker ran is not late.
    ScheduledWork("comparisons", EverySeconds(60.0), request_due_comparisons),
    ScheduledWork("catch-ups", EverySeconds(30.0), begin_due_catch_ups),
    ScheduledWork("alarms", EverySeconds(30.0), evaluate_alarms),
    ScheduledWork("pauses", EverySeconds(2.0), enforce_pauses),
    ScheduledWork("changed-ids", EverySeconds(5.0), pause_changed_targets),
    ScheduledWork("rechecks", EverySeconds(5.0), run_rechecks),
    ScheduledWork("stranded", EverySeconds(300.0), release_stranded),
    ScheduledWork("checkpoints", EverySeconds(60.0), send_checkpoint),
    ScheduledWork("counts", EverySeconds(15.0), recount_stale_hours),
    ScheduledWork("superseded", EverySeconds(10.0), supersede_failures),
    ScheduledWork("failures", EverySeconds(15.0), refresh_failure_groups),
    ScheduledWork("captures", EverySeconds(60.0), clean_up_captures),
    ScheduledWork("pair-drafts", EverySeconds(600.0), delete_expired_drafts),
    ScheduledWork("logins", EverySeconds(60.0), report_past_hours),
)
# Work that takes long where much is stored, or that waits for other systems: each runs on a thread of its own.
LONG_PERIODIC = (
    # Before the alarms: what became due while no worker ran is not late.
    ScheduledWork(NIGHTLY_CHECK, DailyAt(time(2, 47)), verify_audit_log_nightly),
    ScheduledWork("cleanup", DailyAt(time(3, 17)), prune_expired),
    ScheduledWork("late-payloads", EverySeconds(10.0), delete_late_payloads),
    ScheduledWork("jobs", EverySeconds(600.0), clean_up_jobs),
    ScheduledWork("key-sets", EverySeconds(10.0), refresh_key_sets),
    ScheduledWork("repairs", EverySeconds(30.0), repair_after_schedules),
    ScheduledWork("references", EverySeconds(600.0), schedule_all_arrived),
    ScheduledWork("probes", EverySeconds(2.0), probe_paused_connections),
)
