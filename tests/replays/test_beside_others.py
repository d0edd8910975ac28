"""What a bulk replay makes way for, and what it waits for nobody's sake."""

import pytest

from sync.bulk_replay import sending
from sync.bulk_replay.choosing import choose
from sync.bulk_replay.deciding import Person, pause
from sync.bulk_replay.ending import note_ends
from sync.models import ReplayState
from tests.hub import Hub
from tests.replays.bulk import failed_people, staff, started

pytestmark = pytest.mark.usefixtures("hurry")


def test_a_replay_that_was_left_paused_keeps_no_later_one_from_its_end(hub: Hub) -> None:
    first, second = failed_people(hub, 2)
    by = staff()
    left = started(by, choose(by, [first.pk]))
    assert pause(left, Person(by))
    later = started(by, choose(by, [second.pk]))
    assert sending.send_due() == 1
    hub.wait_until_idle()
    assert note_ends(most=1) == 1
    later.refresh_from_db()
    assert (later.state, later.succeeded) == (ReplayState.FINISHED, 1)
