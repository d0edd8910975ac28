"""Fields that a target does not keep are counted by equal writes, one after the other, and then left out."""

from collections.abc import Mapping
from typing import Any

import pytest

from connectors.contracts.types import Record
from sync.planning.change import Change, ChangeAction, FieldChange, plan_deleted_entity, plan_existing_entity
from sync.planning.unkept_fields import WriteCount, count_writes, leave_out_unkept, list_unkept

pytestmark = pytest.mark.pure

LIMIT = 3


def digest(*difference: Any) -> str:
    return repr(difference)


class Target:
    """A record, what is counted of it, and the number of changes that were sent."""

    def __init__(self, **fields: Any) -> None:
        self.fields: dict[str, Any] = fields
        self.counts: Mapping[str, WriteCount] = {}
        self.sent = 0

    def deliver(self, limit: int = LIMIT, is_partial: bool = False, **wanted: Any) -> Change:
        """Plan and count, as an attempt does; the target stays as it is."""
        planned = plan_existing_entity(wanted, Record("1", self.fields), frozenset())
        change = leave_out_unkept(planned, self.counts, digest, limit)
        self.counts = count_writes(change, self.counts, digest, is_partial=is_partial)
        self.sent += bool(change.fields)
        return change


def names(fields: tuple[FieldChange, ...]) -> list[str]:
    return [field.name for field in fields]


def test_a_difference_that_was_sent_to_the_limit_is_left_out() -> None:
    target = Target(phone="old")
    for number in range(1, LIMIT + 1):
        assert target.deliver(phone="new").action is ChangeAction.UPDATE
        assert list_unkept(target.counts) == (("phone",) if number >= 3 else ())
    for _ in range(2):
        change = target.deliver(phone="new")
        assert (change.action, change.fields, names(change.left_out_fields)) == (
            ChangeAction.NOTHING,
            (),
            ["phone"],
        )
        assert change.to_document()["left_out"] == [{"name": "phone", "before": "old", "after": "new"}]
    assert (target.sent, list_unkept(target.counts)) == (LIMIT, ("phone",))


def test_other_fields_are_sent() -> None:
    target = Target(phone="old", name="A")
    for _ in range(LIMIT):
        target.deliver(phone="new", name="A")
    change = target.deliver(phone="new", name="B")
    assert (change.action, names(change.fields), names(change.left_out_fields)) == (
        ChangeAction.UPDATE,
        ["name"],
        ["phone"],
    )
    assert change.values_to_send == {"name": "B"}


def test_the_count_restarts_with_another_wanted_or_found_value_or_once_the_value_is_stored() -> None:
    for alter in (
        lambda target: target.deliver(phone="newer"),
        lambda target: target.fields.update(phone="OTHER"),
        lambda target: (
            target.fields.update(phone="new"),
            target.deliver(phone="new"),
            target.fields.clear(),
        ),
    ):
        target = Target(phone="old")
        for _ in range(LIMIT + 1):
            target.deliver(phone="new")
        alter(target)
        assert not target.deliver(phone="new").left_out_fields
        assert target.counts["phone"].number == 1
        assert list_unkept(target.counts) == ()


def test_without_a_limit_every_difference_is_sent_and_still_counted() -> None:
    target = Target(phone="old")
    for _ in range(20):
        assert not target.deliver(limit=0, phone="new").left_out_fields
    assert (target.sent, list_unkept(target.counts)) == (20, ("phone",))


def test_fields_that_partial_data_do_not_name_keep_their_count() -> None:
    for is_partial in (True, False):
        target = Target(phone="old", name="A")
        for _ in range(LIMIT):
            target.deliver(phone="new")
        target.deliver(is_partial=is_partial, name="A")
        assert ("phone" in target.counts) is is_partial


def test_creations_and_deletions_are_not_counted() -> None:
    counts = {"phone": WriteCount("x", 9)}
    record = Record("1", {"phone": "old"})
    for change in (
        plan_existing_entity({"phone": "new"}, None, frozenset()),
        plan_deleted_entity(record, None, deletes=True),
        plan_deleted_entity(None, None, deletes=True),
    ):
        assert leave_out_unkept(change, counts, digest, 3) is change
        assert count_writes(change, counts, digest, is_partial=True) == {}


def test_deactivation_is_counted_like_any_update() -> None:
    record, counts = Record("1", {"active": True}), dict[str, WriteCount]()
    for _ in range(LIMIT):
        change = plan_deleted_entity(record, {"active": False}, deletes=False)
        assert leave_out_unkept(change, counts, digest, LIMIT) is change
        counts = count_writes(change, counts, digest, is_partial=True)
    left = leave_out_unkept(change, counts, digest, LIMIT)
    assert (left.action, names(left.left_out_fields)) == (ChangeAction.NOTHING, ["active"])
