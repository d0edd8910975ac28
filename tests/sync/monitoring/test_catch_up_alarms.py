"""The alarm about a catch-up that is late, also because it fails; and a polled source, whose silence is just that."""

from datetime import timedelta

import pytest

from sync.models import Alarm, CatchUp, Connection
from sync.monitoring.alarm_texts import alarm_text
from sync.monitoring.alarms import evaluate_alarms
from tests.support.builders.alarms import open_kinds
from tests.support.builders.history import NOON, a_route, a_source
from webhooks.models import Source

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def caught_up_with(**values: object) -> CatchUp:
    """Let the identity connection be caught up with every ten minutes, since long ago."""
    identity = a_route(a_source()).identity
    Connection.objects.filter(pk=identity.pk).update(catch_up_minutes=10)
    row = {"created_at": NOON - 999 * MINUTE, "read_at": NOON - MINUTE} | values
    return CatchUp.objects.create(identity=identity, entity_type="USER", **row)


@pytest.mark.parametrize(
    ("values", "is_late"),
    [
        ({}, False),
        ({"read_at": NOON - 25 * MINUTE}, False),
        ({"read_at": NOON - 26 * MINUTE}, True),
        ({"read_at": NOON - 26 * MINUTE, "began_at": NOON, "failing_since": NOON - 9 * MINUTE}, True),
        ({"read_at": None, "created_at": NOON - 25 * MINUTE}, False),
        ({"read_at": None, "created_at": NOON - 26 * MINUTE}, True),
    ],
)
def test_a_catch_up_that_has_not_read_its_list_is_late(values: dict[str, object], is_late: bool) -> None:
    caught_up_with(**values)
    evaluate_alarms(NOON)
    assert open_kinds() == (["catch-up-late"] if is_late else [])


def test_the_alarm_names_the_connection_and_ends() -> None:
    row = caught_up_with(read_at=NOON - 40 * MINUTE)
    evaluate_alarms(NOON)
    alarm = Alarm.objects.get()
    text = alarm_text(alarm)
    assert (alarm.subject, text.title) == (
        f"catch-up:{row.pk}",
        "The catch-up of USER: Aurora ID is late",
    )
    Connection.objects.update(catch_up_minutes=None)
    evaluate_alarms(NOON + MINUTE)
    assert (open_kinds(), alarm_text(Alarm.objects.get()).title) == (
        [],
        "The catch-up of USER: Aurora ID was late",
    )


def test_a_polled_source_is_never_silent() -> None:
    source = a_source(silence_minutes=1)
    Source.objects.filter(pk=source.pk).update(created_at=NOON - 99 * MINUTE)
    evaluate_alarms(NOON)
    assert open_kinds() == ["source-silent"]
    Source.objects.filter(pk=source.pk).update(scheme="polled")
    evaluate_alarms(NOON + MINUTE)
    assert open_kinds() == []
