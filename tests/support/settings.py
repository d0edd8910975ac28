"""The hub's settings for tests without a worker: deferred work runs in the process that deferred it.

A process that leaves deferred work to workers has `WITH_WORKERS` of `hub_processes` in its environment.
"""

from devtools.settings import *  # noqa: F403

LEFT_TO_WORKERS = WAKE_WORKERS  # noqa: F405
WAKE_WORKERS = "sync.execution.executor.run_in_this_process"
SILENCED_SYSTEM_CHECKS = ["hub.E009"]  # see `tests.support.processes.worker_settings`
