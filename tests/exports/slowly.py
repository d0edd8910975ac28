"""A worker that makes exports slowly, to be killed: `python -m tests.exports.slowly <seconds a chunk>`."""

import sys
import time

import django

django.setup()

from integration_hub.console.exporting import jobs, making  # noqa: E402

making.CHUNK, making.NOTE_SECONDS = 10, 0.0
rows_of = making.rows_of


def slowly(keys):  # type: ignore[no-untyped-def]
    time.sleep(float(sys.argv[1]))
    return rows_of(keys)


making.rows_of = slowly
jobs.look()
