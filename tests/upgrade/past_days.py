"""The history of a stored database, step by step, with the real hub: nothing is written past it but times and routes."""

from pathlib import Path

from django.conf import settings
from django.db import connections
from django.test import Client

from devtools.sandbox_setup import SandboxSystems
from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.support.hub import SIGNING_SECRET, Hub
from tests.upgrade import past_decisions as decisions
from tests.upgrade import past_events as events
from tests.upgrade.used_hub import list_empty_tables
from webhooks.models import State

# What the history does not do: let a year pass, lose records, or use a log-in, a key set, or channels of alarms.
LEFT_EMPTY = {
    "audit_cut", "audit_stub", "auth_user_user_permissions", "django_admin_log", "logins_failedlogins",
    "logins_givenpassword", "logins_knownaddress", "sync_loginattempt", "sync_notification", "sync_periodictask",
    "sync_pruningrun", "sync_recordreference", "sync_refreshedtoken", "sync_relinkexample", "sync_relinking",
    "webhooks_capturewindow", "webhooks_keyset",
}  # fmt: skip


def live_through(systems: Path, files: Path) -> None:
    """Run the history. `systems` gets the records of the stand-ins, `files` the exports."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    with IdentityService(secret=SIGNING_SECRET, data=systems) as identity, ShopService(data=systems) as shop:
        events.configure(
            SandboxSystems(identity.url, "identity-token", shop.url, "shop-token", SIGNING_SECRET)
        )
        run_history(Hub(identity, shop, Client(raise_request_exception=False)), files)
    connections.close_all()
    if connections["default"].vendor == "postgresql":
        connections["default"].close_pool()  # type: ignore[attr-defined]


def run_history(hub: Hub, files: Path) -> None:
    """Let events come and fail, people decide, and the night pass; leave some deliveries open."""
    staff = decisions.hire()
    events.send_ordinary(hub)
    decisions.seal()
    events.send_batches(hub)
    events.send_refused(hub)
    decisions.capture_requests(hub, staff["superuser"])
    decisions.change_a_mapping(staff["administrator"])
    decisions.try_out(staff)
    failed = events.fail_each_way(hub)
    decisions.seal(checkpoint=False)
    events.interrupt_a_write(hub)
    events.supersede(hub, failed[14])
    held = events.hold_removals(hub, map(events.name_of, (50, 51, 52)))
    matched = events.hold_matches(hub, "MATCH1", "MATCH2", "MATCH3")
    decisions.decide(failed, held, matched, staff)
    decisions.replay_many(staff)
    decisions.acknowledge(staff["support"])
    decisions.erase(hub)
    decisions.watch(staff)
    decisions.end_the_day()
    events.open_deliveries(hub)
    decisions.export(files, staff["auditor"])
    decisions.seal(checkpoint=False)
    states = events.count_states()
    print(f"{sum(states.values())} events: {states}")
    assert sum(states.values()) >= 500, states
    assert states.keys() == {state.value for state in State} - {State.RUNNING}, states
    empty = set(list_empty_tables())
    assert empty == LEFT_EMPTY, (
        f"empty: {sorted(empty - LEFT_EMPTY)}; not empty: {sorted(LEFT_EMPTY - empty)}"
    )
