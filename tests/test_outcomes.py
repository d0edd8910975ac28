"""What a source is told is kept as the last word only where nothing of it can change by itself."""

from uuid import uuid4

import pytest

from sync.models import Connection
from sync.outcomes import outcome_of
from tests.console.history import a_delivery, a_route, a_source, an_event

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("states", "is_final"),
    [
        (("dead", "running"), False),
        (("dead", "held"), False),
        (("dead", "pending"), False),
        (("dead", "retrying"), False),
        (("succeeded", "held"), False),
        (("dead", "succeeded"), True),
        (("closed", "unchanged"), True),
    ],
)
def test_a_failure_in_one_system_is_not_the_last_word_while_another_goes_on(
    states: tuple[str, ...], is_final: bool
) -> None:
    source = a_source()
    event = an_event(1, source=source, state=states[0])
    for number, state in enumerate(states):
        shop = Connection.objects.create(
            slug=f"shop-{number}", side="commercial", connector="rest-commercial", base_url="https://x.test"
        )
        claimed = {"token": uuid4(), "lease_until": event.received_at} if state == "running" else {}
        a_delivery(event, a_route(source, commercial=shop), state=state, **claimed)
    assert outcome_of(event).is_final is is_final
