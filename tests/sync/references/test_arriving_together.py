"""Two members that get their records at the same moment: the group that waits for both is not forgotten."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sync.models import Delivery, Link, MissingReference
from sync.planning.references import Reference
from sync.references import missing_references
from tests.support.builders.references import MEMBERS, add_group, add_user, delivery_of, set_field, tell
from tests.support.hub import Hub
from tests.support.threads import in_threads
from webhooks.models import State

pytestmark = pytest.mark.concurrent


@pytest.fixture
def waiting_group(hub: Hub) -> Delivery:
    """A group whose next attempt is an hour away, and whose two members are linked but have woken nobody yet."""
    set_field("GROUP", "members", MEMBERS)
    for key in ("ADA", "BEA"):
        add_user(hub, key)
        assert tell(hub, "USER", key) == "done"
    linked = list(Link.objects.filter(entity_id__in=["ADA", "BEA"]))
    Link.objects.filter(pk__in=[link.pk for link in linked]).delete()
    add_group(hub, "TEAM", ["ADA", "BEA"])
    assert tell(hub, "GROUP", "TEAM") == "reference-missing"
    Link.objects.bulk_create(linked)
    group = delivery_of("TEAM")
    Delivery.objects.filter(pk=group.pk).update(due_at=timezone.now() + timedelta(hours=1))
    return group


def seconds_until_due(group: Delivery) -> float:
    due_at = Delivery.objects.get(pk=group.pk).due_at
    assert due_at is not None
    return (due_at - timezone.now()).total_seconds()


def test_a_group_is_due_soon_however_its_members_arrive(waiting_group: Delivery) -> None:
    in_threads(lambda number: missing_references.schedule_referring(delivery_of(("ADA", "BEA")[number])), 2)
    assert seconds_until_due(waiting_group) <= missing_references.PARTLY_SECONDS


def test_a_failed_wake_up_does_not_fail_the_delivery(
    waiting_group: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any) -> None:
        raise missing_references.DatabaseError("gone")

    monkeypatch.setattr(missing_references, "_schedule_in_transaction", fail)
    missing_references.schedule_referring(delivery_of("ADA"))
    assert seconds_until_due(waiting_group) > 3000


def test_a_delivery_that_ends_while_it_is_woken_is_remembered(
    waiting_group: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looked for the record before the link was there, left it out, and has not looked again yet."""
    split_by_completeness = missing_references._split_by_completeness

    def end_meanwhile(*args: Any) -> Any:
        if not MissingReference.objects.exclude(pk__in=before).exists():
            missing = [Reference(row.entity_type, row.entity_id) for row in MissingReference.objects.all()]
            missing_references.store_missing(waiting_group, missing, are_left_out=True)
            Delivery.objects.filter(pk=waiting_group.pk).update(state=State.SUCCEEDED, code="succeeded")
        return split_by_completeness(*args)

    before = list(MissingReference.objects.values_list("pk", flat=True))
    monkeypatch.setattr(missing_references, "_split_by_completeness", end_meanwhile)
    missing_references.schedule_referring(delivery_of("ADA"))
    missing_references.schedule_arrived(waiting_group.pk)
    assert MissingReference.objects.filter(entity_id="ADA", due_at__isnull=False).exists()
