"""The work of a worker beside deliveries: periodic work and when it is due, and jobs that people asked for."""

from collections.abc import Callable, Mapping
from datetime import time

from django.conf import settings
from django.utils.module_loading import import_string

from sync.erasure.erase import erase_confirmed
from sync.execution.periodic import Daily, Every, Work
from sync.housekeeping.audit_upkeep import look_at_everything, send_checkpoint
from sync.housekeeping.cleanup import prune
from sync.monitoring.alarms import look
from sync.operations.failure_groups import keep_failure_groups
from sync.operations.pauses import look_at_pauses, look_for_forgotten
from sync.replays.choose_by_filter import look as look_at_replays
from sync.statistics.recount import count

Look = Callable[[Callable[[], bool]], object]
"""One look at long work. It asks what it is called with whether to go on, and returns within seconds if not."""

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


def job_looks() -> Mapping[str, Look]:
    """Return the looks at jobs, by name."""
    return {"replays": look_at_replays} | {
        name: import_string(path) for name, path in settings.WORKER_LOOKS.items()
    }
