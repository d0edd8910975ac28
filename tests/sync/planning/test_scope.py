"""A condition gives true, false or a failure, and a failure is never "outside". No database."""

from typing import Any

import pytest

from config_schema.errors import SettingsInvalid
from sync.planning.mapping import EntityNotMappable
from sync.planning.scope import CONDITION, ConditionFailed, in_scope
from tests.support.hostile.expressions import piped

pytestmark = pytest.mark.pure

ANNA: dict[str, Any] = {
    "id": "u1",
    "active": True,
    "roles": ["staff"],
    "name": "Anna",
    "age": 41,
    "none": None,
}


@pytest.mark.parametrize(
    ("condition", "is_inside"),
    [
        ("", True),
        ("entity.active", True),
        ("!(entity.active)", False),
        ("contains(entity.roles, 'staff')", True),
        ("contains(entity.roles, 'guest')", False),
        ("entity.department == 'Sales'", False),
        ("entity.age > `40` && entity.active", True),
        ("`false`", False),
    ],
)
def test_a_condition_decides_by_true_and_false(condition: str, is_inside: bool) -> None:
    assert in_scope(condition, ANNA) is is_inside


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("entity.deleted", "null"),
        ("entity.none", "null"),
        ("entity.department > `3`", "null"),
        ("entity.name", "another value"),
        ("entity.name && entity.roles", "another value"),
        ("`0`", "another value"),
        ('`"true"`', "another value"),
        ("entity.roles[]", "another value"),
        ("@", "another value"),
        ("contains(entity.age, 'x')", "does not fit"),
        ("ceil(entity.name) == `1`", "does not fit"),
        ("no_such_function(entity.name)", "does not fit"),
        ("entity.", "does not fit"),
        (f"{piped('[@,@][]', 40)} == entity.id", "exceeds"),
    ],
)
def test_anything_else_fails_whatever_it_looks_like(condition: str, reason: str) -> None:
    with pytest.raises(ConditionFailed, match=reason) as failed:
        in_scope(condition, ANNA)
    assert isinstance(failed.value, EntityNotMappable)
    assert failed.value.field == "condition"


@pytest.mark.parametrize(
    "condition",
    [
        "webhook.data.active",
        "entity.active && webhook",
        "linked('GROUP', entity.id) == 'g1'",
        "entity.",
        "nothing(entity)",
        "",
        "   ",
        "!entity.a.b",
        3,
        "entity.active || " * 100 + "entity.active",
    ],
)
def test_what_reads_more_than_the_entity_or_cannot_be_compiled_is_no_condition(condition: Any) -> None:
    with pytest.raises(SettingsInvalid):
        CONDITION.read(condition, ())
