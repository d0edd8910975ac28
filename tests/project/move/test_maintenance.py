"""The old database of a move refuses what a process would store there, whether or not the process knows of the move."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from django.core.management.base import CommandError
from django.db import IntegrityError, connection
from django.test import Client

from audit.models import Entry
from database.move_marker import MARKER, is_refused_by_move, read_move
from database.move_refusal import REFUSAL, HubIsMoving, RefusedWrites
from integration_hub.move.maintenance import begin_move, drain, end_move, freeze, give_up
from integration_hub.schema_version import check_schema
from sync.attempts.delivery_run import run_delivery
from sync.deliveries.claims import claim_delivery
from sync.models import Delivery
from sync.worker.dispatcher import DeliveryDispatcher, PollTimes
from sync.worker.work_in_progress import WorkInProgress
from tests.support.builders.history import logged_in
from tests.support.hub import EXAMPLE, Hub
from webhooks.models import Event, Receipt, State

pytestmark = pytest.mark.only_sqlite
TARGET = "postgres://db.example.com/hub"


@pytest.fixture
def moving(hub: Hub) -> Iterator[Hub]:
    """Yield a hub that can be moved; let its database, and this process, take writes again afterwards."""
    yield hub
    RefusedWrites.were_seen = False
    if read_move() is not None:
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {MARKER} SET stage = 'frozen'")
        give_up()


def stored() -> tuple[int, int, int]:
    return Event.objects.count(), Receipt.objects.count(), Delivery.objects.count()


def due_delivery(hub: Hub) -> Delivery:
    """Return the delivery of a new webhook, which is due again."""
    assert hub.post_signed(EXAMPLE).status_code == 200
    hub.wait_until_quiet()
    Delivery.objects.update(state=State.PENDING, settled_at=None, due_at="2020-01-01T00:00:00Z")
    return Delivery.objects.get()


def test_a_source_is_told_to_send_again_and_a_running_delivery_ends(moving: Hub) -> None:
    delivery = due_delivery(moving)
    assert claim_delivery(delivery.pk) is not None
    begin_move(TARGET)
    before = stored()
    answer = moving.post_signed(EXAMPLE)
    assert (answer.status_code, answer.json()["code"]) == (503, "hub-moving")
    assert "is being moved to another database" in answer.json()["detail"]
    assert int(answer["Retry-After"]) > 0
    assert stored() == before
    assert drain(seconds=0) == 1
    Delivery.objects.filter(pk=delivery.pk).update(state=State.SUCCEEDED, token=None, lease_until=None)
    assert drain(seconds=0) == 0
    freeze()
    with pytest.raises(HubIsMoving):
        Delivery.objects.update(state=State.DEAD)


def test_a_process_is_not_ready_while_its_hub_is_being_moved(moving: Hub) -> None:
    assert Client().get("/ready").status_code == 200
    begin_move(TARGET)
    answer = Client().get("/ready")
    assert (answer.status_code, answer.json()["reason"]) == (503, "maintenance")
    assert Client().get("/live").status_code == 200
    give_up()
    assert Client().get("/ready").status_code == 200


def test_no_delivery_is_claimed_until_the_move_is_given_up(moving: Hub) -> None:
    begin_move(TARGET)
    give_up()
    assert not is_refused_by_move()
    delivery = due_delivery(moving)
    begin_move(TARGET)
    with pytest.raises(HubIsMoving):
        run_delivery(delivery.pk)
    assert is_refused_by_move()
    assert Delivery.objects.get().state == State.PENDING
    dispatcher = DeliveryDispatcher(1, PollTimes(0.0, 0.0, 7.0), WorkInProgress())
    assert dispatcher.dispatch_due() == 7.0
    give_up()
    assert not is_refused_by_move()
    assert run_delivery(delivery.pk).is_settled
    actions = set(Entry.objects.filter(stream="system").values_list("action", flat=True))
    assert actions >= {"database.move-begun", "database.move-given-up"}


@pytest.mark.promise("I1")
def test_every_table_refuses_every_write_of_every_client(moving: Hub) -> None:
    """No other test asks the file itself: a process that was started before the move knows nothing of it."""
    path = str(connection.settings_dict["NAME"])
    with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
        tables = [
            row[0]
            for row in stranger.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if not row[0].startswith("sqlite_")
        ]
        begin_move(TARGET)
        freeze()
        accepted = []
        for table in tables:
            column = stranger.execute(f'PRAGMA table_info("{table}")').fetchone()[1]
            has_rows = stranger.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]
            writes = [f'INSERT INTO "{table}" ("{column}") VALUES (NULL)']
            if has_rows:
                writes += [f'UPDATE "{table}" SET "{column}" = "{column}"', f'DELETE FROM "{table}"']
            for write in writes:
                try:
                    stranger.execute(write)
                except sqlite3.IntegrityError as refusal:
                    if str(refusal) == REFUSAL or "insert-only" in str(refusal):
                        continue
                accepted.append(write)
        assert accepted == []
        assert len(tables) > 70


def test_the_console_reads_says_why_and_changes_nothing(moving: Hub) -> None:
    client = logged_in("administrator")
    assert "being moved" not in client.get("/admin/").content.decode()
    begin_move(TARGET)
    freeze()
    page = client.get("/admin/webhooks/event/")
    assert page.status_code == 200
    move = read_move()
    assert move is not None
    assert "Read-only: the hub is being moved to another database." in page.content.decode()
    assert f"{move.began_at:%Y-%m-%d %H:%M:%S}" in page.content.decode()
    refused = client.post("/admin/preferences/", {"time_zone": "Europe/Helsinki"})
    assert refused.status_code == 503
    assert "Your change was not saved" in refused.content.decode()


def test_a_process_starts_while_a_hub_moves_but_not_after_it_has_moved(moving: Hub) -> None:
    move = begin_move(TARGET)
    with pytest.raises(CommandError, match="was given up meanwhile"):
        end_move(move)  # it still drains
    freeze()
    check_schema()
    end_move(move)
    with pytest.raises(CommandError, match=f"This hub has moved to {TARGET}: set DATABASE_URL"):
        check_schema()
    with pytest.raises(CommandError, match="This move has ended"):
        give_up()


def test_a_constraint_that_is_violated_without_a_move_stays_one(moving: Hub) -> None:
    assert moving.post_signed(EXAMPLE).status_code == 200
    event = Event.objects.get()
    with pytest.raises(IntegrityError):
        Event.objects.filter(pk=event.pk).update(uuid=None)
