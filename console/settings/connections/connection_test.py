"""Run the test of a connection, record it on the audit log, and load the last one."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.http import HttpRequest

from connectors.settings.authentication import credential_names
from console.base.audit_trail import record_action
from console.settings.connections.connection_test_words import StepRow, build_step_row
from sync.models import Connection, ConnectionTest
from sync.operations.connection_tests import TestResult, load_steps, run_test_steps, store_steps


@dataclass(frozen=True, slots=True)
class LastConnectionTest:
    at: datetime | None
    is_good: bool
    steps: tuple[StepRow, ...]


def run_connection_test(request: HttpRequest, connection: Connection) -> TestResult:
    """Test the connection, record the result and return it. Raises AlreadyTesting if a test is running."""
    # Outside the transaction, which must not stay open while a system is slow to respond.
    steps = run_test_steps(connection)
    with transaction.atomic():
        result = store_steps(connection, steps)
        details = {
            "is_good": all(step.is_good for step in steps),
            "steps": {step.name: step.code for step in steps},
        }
        record_action(request, f"setting:connection:{connection.pk}", "connection.tested", details)
    return result


def load_last_test(connection: Connection, now: datetime) -> LastConnectionTest | None:
    """Load the last finished test of a connection, or None before the first."""
    last_test: Any = ConnectionTest.objects.filter(pk=connection.pk).first()
    if last_test is None or not last_test.steps:
        return None
    credentials = credential_names(connection.authentication)
    lines = tuple(build_step_row(step, connection.name, now, credentials) for step in load_steps(last_test))
    return LastConnectionTest(last_test.ended_at, last_test.is_good and last_test.ended_at is not None, lines)
