"""Makes exports slowly, to be killed or stopped: `python -m tests.exports.slowly <seconds a chunk> [worker|deaf]`.

Alone it looks once; `worker` is the hub's worker until SIGTERM, `deaf` one that is told and goes on.
"""

import sys
import time

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402

from integration_hub.console.exporting import jobs, making  # noqa: E402

making.CHUNK, making.NOTE_SECONDS = 10, 0.0
rows_of = making.rows_of


def slowly(keys):  # type: ignore[no-untyped-def]
    time.sleep(float(sys.argv[1]))
    return rows_of(keys)


def deaf(_goes_on):  # type: ignore[no-untyped-def]
    jobs.look()


making.rows_of = slowly
if sys.argv[2:]:
    if "deaf" in sys.argv:
        settings.WORKER_LOOKS = {"exports": f"{__name__}.deaf"}
    call_command("run_worker", "--threads", "1", "--grace", "3")
else:
    jobs.look()
