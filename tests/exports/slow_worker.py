"""A process that makes exports slowly, to be killed or stopped: `python -m tests.exports.slow_worker <seconds> [how]`.

Each chunk after the third takes that many seconds. Without `how` it runs the waiting exports once. `worker`: the hub's worker until
SIGTERM, whose exports this module makes too. The worker appends its claim as arguments.
"""

import sys
import time
from itertools import count

import django

django.setup()

from django.core.management import call_command  # noqa: E402

from exports.bundle import builder  # noqa: E402
from sync.jobs.job_execution import run_next_jobs  # noqa: E402
from sync.worker import job_process  # noqa: E402

builder.CHUNK_SIZE, builder.SAVE_SECONDS = 10, 0.0
read_rows, chunks = builder.read_rows, count(1)
pause, how, claim = sys.argv[1], "".join(sys.argv[2:3]), sys.argv[3:]


def slowly(keys):  # type: ignore[no-untyped-def]
    if next(chunks) > 3:
        time.sleep(float(pause))
    return read_rows(keys)


builder.read_rows = slowly
if claim:
    call_command("run_job", *claim)
elif how:
    job_process.COMMAND = [sys.executable, "-m", __spec__.name, pause, how]
    call_command("run_worker", "--threads", "1", "--grace", "3")
else:
    run_next_jobs()
