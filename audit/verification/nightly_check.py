"""The nightly verification of the whole log, stored as a row."""

import logging
import time
from datetime import datetime

from audit.models import Verification
from audit.verification.check_database import verify_database

logger = logging.getLogger("hub.audit")


def verify_and_record(at: datetime) -> Verification:
    """Check the whole log, write each fault to the process log, and store the result."""
    started = time.monotonic()
    report = verify_database()
    for fault in report.faults:
        logger.error("the audit log is not as it was written: %s", fault)
    return Verification.objects.create(
        at=at,
        segments=report.segments,
        entries=report.entries,
        seconds=time.monotonic() - started,
        faults=len(report.faults),
        first_fault=str(report.faults[0])[:300] if report.faults else "",
    )
