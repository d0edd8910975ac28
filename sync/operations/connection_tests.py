"""Test a connection outside any transaction, and store the results without secrets: one that is stored, or one that a
person is about to create.
"""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any

from django.db.models import Q
from django.utils import timezone

from connectors.check import (
    MAX_PERMISSIONS,
    MAX_SECONDS,
    WARNING_CODES,
    CheckedConnection,
    CheckStep,
    check_connection,
)
from connectors.contracts.types import MAX_PROOF_READS
from sync.deliveries.record_links import newest_links_of
from sync.models import Connection, ConnectionSide, ConnectionTest, Route

# A test whose process died blocks the next one no longer than this.
_MAX_DURATION = timedelta(seconds=MAX_SECONDS + 10)


class TestResult(StrEnum):
    """The result of a test: its steps taken together."""

    PASSED = "passed"
    # All steps passed, one of them with a warning.
    WARNED = "warned"
    # No step failed, but one of them shows nothing.
    UNPROVED = "unproved"
    FAILED = "failed"


class AlreadyTesting(Exception):
    """Another test of this connection is running."""


def run_test_steps(connection: Connection) -> tuple[CheckStep, ...]:
    """Run the steps now, in at most `MAX_SECONDS`. Raises AlreadyTesting if another test is running.

    Ignores the breaker and the limits of the connection, and changes nothing in the other system.
    """
    now = timezone.now()
    ConnectionTest.objects.get_or_create(connection=connection, defaults={"begun_at": now, "ended_at": now})
    is_free = Q(ended_at__isnull=False) | Q(begun_at__lt=now - _MAX_DURATION)
    if not ConnectionTest.objects.filter(is_free, pk=connection.pk).update(begun_at=now, ended_at=None):
        raise AlreadyTesting
    return check_connection(_checked(connection, _used_types(connection), _linked_items(connection)))


def run_steps_of_unsaved(connection: Connection, used_types: frozenset[str]) -> tuple[CheckStep, ...]:
    """Run the steps now for a connection that is not stored, in at most `MAX_SECONDS`. `used_types`: the entity types
    that it will be used for.
    """
    return check_connection(_checked(connection, used_types))


def store_steps(connection: Connection, steps: Sequence[CheckStep]) -> TestResult:
    """Store the results of a test, and return the result of all steps together."""
    is_good = all(step.is_good for step in steps)
    values = {"ended_at": timezone.now(), "is_good": is_good, "steps": step_documents(steps)}
    ConnectionTest.objects.filter(pk=connection.pk).update(**values)
    return summarize_steps(steps)


def step_documents(steps: Sequence[CheckStep]) -> list[dict[str, Any]]:
    """Return steps as they are stored."""
    return [step._asdict() | {"facts": dict(step.facts)} for step in steps]


def summarize_steps(steps: Sequence[CheckStep]) -> TestResult:
    """Return the result of all steps together."""
    if all(step.is_good for step in steps):
        has_warning = any(step.code in WARNING_CODES for step in steps)
        return TestResult.WARNED if has_warning else TestResult.PASSED
    return TestResult.FAILED if any(step.is_good is False for step in steps) else TestResult.UNPROVED


def load_steps(test: ConnectionTest) -> tuple[CheckStep, ...]:
    """Return the stored steps of a test."""
    return tuple(CheckStep(**step) for step in test.steps)


def _checked(
    connection: Connection, used_types: frozenset[str], linked_items: tuple[tuple[str, str], ...] = ()
) -> CheckedConnection:
    return CheckedConnection(
        connector=connection.connector,
        base_url=connection.base_url,
        authentication=connection.authentication,
        credentials=connection.read_credentials(),
        settings=connection.settings,
        deadline=connection.deadline_seconds,
        byte_cap=connection.byte_cap,
        request_id=f"test-{uuid.uuid4()}",
        used_types=used_types,
        linked_items=linked_items,
    )


def _used_types(connection: Connection) -> frozenset[str]:
    """Return the entity types of the enabled routes of a connection, as the connection calls them."""
    routes = Route.objects.filter(Q(identity=connection) | Q(target=connection), is_enabled=True)
    names = routes.values_list("entity_type", "identity_entity", "target_entity", "identity").distinct()
    return frozenset(
        (identity_entity if identity == connection.pk else target_entity) or entity_type
        for entity_type, identity_entity, target_entity, identity in names[:MAX_PERMISSIONS]
    )


def _linked_items(connection: Connection) -> tuple[tuple[str, str], ...]:
    """Return the newest linked entities or records of the enabled routes of a connection, each with its type as the
    connection calls it.
    """
    is_identity = connection.side == ConnectionSide.IDENTITY
    routes = Route.objects.filter(Q(identity=connection) | Q(target=connection), is_enabled=True)
    names = {
        route.entity_type: route.identity_type if is_identity else route.target_type
        for route in routes[:MAX_PERMISSIONS]
    }
    items = [
        (names[link.entity_type], link.entity_id if is_identity else link.record_id)
        for link in newest_links_of(connection)
        if link.entity_type in names
    ]
    return tuple(items[:MAX_PROOF_READS])
