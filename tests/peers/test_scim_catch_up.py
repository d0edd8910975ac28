"""A SCIM 2.0 service that sends no webhooks: what changed there is read by its filter, and delivered."""

import pytest

from sync.catch_up.schedule import begin_due_catch_ups
from sync.models import CatchUp
from tests.peers.cases.pair import Pair, new_person, with_new_address
from tests.peers.hub.configuration import add_connection, add_route, load_settings
from tests.peers.hub.running_hub import HubProcesses
from tests.peers.systems.pocketbase import USER_NAME, PocketBase
from tests.peers.systems.scim2_server import Scim2Server
from tests.peers.test_scim_to_pocketbase import ScimToPocketBase
from tests.support.builders.changing_people import start_catch_up
from tests.support.processes.workers import wait_until
from webhooks.models import Event, EventOrigin, Source

pytestmark = [pytest.mark.peers, pytest.mark.nightly, pytest.mark.concurrent]


class PolledScim(ScimToPocketBase):
    """The same systems, and a source without an address and without a secret."""

    def __init__(self, hub: HubProcesses, scim: Scim2Server, pocketbase: PocketBase) -> None:
        # Without the routes of the other pair, which are for webhooks.
        Pair.__init__(self, hub)
        self._scim, self.pocketbase = scim, pocketbase
        source = Source(slug="scim-polled", name="scim-polled", scheme="polled", scheme_settings={})
        source.full_clean()
        source.save()
        token, password = {"token": scim.token}, {"username": USER_NAME, "password": pocketbase.password}
        identity = add_connection("scim-polled", "scim-identity", scim.scim_url, token, catch_up_minutes=5)
        target = add_connection("polled-records", "pocketbase-target", pocketbase.url, password)
        add_route(source, "USER", identity, target, load_settings("scim-to-pocketbase")["USER"])


def catch_up() -> None:
    """Let the running worker catch up now, due or not."""
    CatchUp.objects.update(began_at=None)
    begin_due_catch_ups()


def test_each_change_is_caught_up_once_by_the_filter(
    hub: HubProcesses, scim2_server: Scim2Server, pocketbase: PocketBase
) -> None:
    polled = PolledScim(hub, scim2_server, pocketbase)
    start_catch_up(ago=0)
    person, unchanged = new_person(), new_person()
    entity_id, other_id = polled.create_person(person), polled.create_person(unchanged)
    catch_up()
    wait_until(lambda: polled.find_record(entity_id) == person, 60)
    wait_until(lambda: polled.find_record(other_id) == unchanged, 60)
    polled.change_person(entity_id, with_new_address(person))
    catch_up()
    wait_until(lambda: polled.find_record(entity_id) == with_new_address(person), 60)
    # People of other tests may have changed in the same seconds.
    made = Event.objects.filter(origin=EventOrigin.CATCH_UP, entity_id__in=[entity_id, other_id])
    assert sorted(made.values_list("entity_id", flat=True)) == sorted([entity_id, entity_id, other_id])
    assert CatchUp.objects.get().failure == ""
