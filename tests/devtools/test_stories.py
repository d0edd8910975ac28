"""The first start of `make run` finds a hub in use: all that its pages say is true of the audit log and of both systems."""

import base64
import io
import os
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone

from audit.models import Entry
from devtools.stories import incidents
from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from sync.execution import executor
from sync.housekeeping.audit_upkeep import seal_audit
from sync.models import BackTest, Comparison, FailureGroup, MappingDraft, PersonRequest
from sync.search.person_search import find_by_value
from tests.support.builders.exports import (
    a_finished_export,
    run_readme_commands,
    save_checkpoint,
    unpack_export,
)
from tests.support.builders.history import an_event
from tests.support.comparisons import run_comparison
from tests.support.hub import new_sealing_key
from tests.support.processes.ports import free_port
from webhooks.models import Event, Source

pytestmark = [pytest.mark.one_database, pytest.mark.concurrent]
SECRET = f"whsec_{base64.b64encode(os.urandom(32)).decode()}"

Seed = Callable[[], str]


@pytest.fixture
def seed(database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Seed:
    """Return the command of `make run`, for a hub and stand-in systems of the test's own. It returns what it printed."""
    settings.DEBUG = True
    settings.SEARCH_KEYS = [new_sealing_key()]
    settings.EXPORT_FOLDER = str(tmp_path / "exports")
    for name, value in {
        "IDENTITY_TOKEN": "a",
        "SHOP_TOKEN": "b",
        "SIGNING_SECRET": SECRET,
        "IDENTITY_PORT": str(free_port()),
        "SHOP_PORT": str(free_port()),
    }.items():
        monkeypatch.setenv(f"SANDBOX_{name}", value)
    # Its threads have connections with the clock of the machine.
    monkeypatch.setattr(executor, "_executor", None)

    def run() -> str:
        output = io.StringIO()
        logins, data = tmp_path / "logins.txt", tmp_path / "sandbox"
        call_command("seed_sandbox", stories=True, logins=logins, data=data, stdout=output)
        return output.getvalue()

    return run


@pytest.fixture
def systems(tmp_path: Path, seed: Seed) -> Iterator[Callable[[], None]]:
    """Return a function that starts the stand-in systems from their data, as the Procfile does."""
    started: list[Any] = []

    def start() -> None:
        identity, shop = (int(os.environ[f"SANDBOX_{name}_PORT"]) for name in ("IDENTITY", "SHOP"))
        started.append(IdentityService(port=identity, data=tmp_path / "sandbox", token="a"))
        started.append(ShopService(port=shop, data=tmp_path / "sandbox", token="b"))
        for service in started:
            service.start()

    yield start
    for service in started:
        service.stop()
        service.store.close()


def states() -> Counter[tuple[str, str]]:
    return Counter(Event.objects.values_list("state", "code"))


@pytest.mark.submission
def test_the_stories_are_true(seed: Seed, systems: Callable[[], None], tmp_path: Path, settings: Any) -> None:
    began = timezone.now()
    assert "Seeded three days of stories: " in seed()
    found = states()
    assert (found["held", "held"], found["held", "held-match"], found["superseded", "superseded"]) == (
        10,
        1,
        1,
    )
    assert not [state for state in found if state[0] in ("dead", "pending", "running", "retrying")]
    outage = FailureGroup.objects.get(code="target-rejected", ticket_url__gt="")
    assert (outage.state, outage.number) == ("resolved", 0)
    assert outage.first_at < began - timedelta(days=2) < outage.recovered_at + timedelta(hours=3)
    assert PersonRequest.objects.get(events=29).created_at < began - timedelta(days=1)
    old, new = Source.objects.get(slug="aurora").secrets.order_by("pk")
    assert (old.ends_at is not None, new.ends_at, new.value) == (True, None, SECRET)
    assert BackTest.objects.get(draft=MappingDraft.objects.get(state="open")).state == "done"
    # All of it is dated in the past, in the audit log too.
    assert not Entry.objects.filter(at__gt=began).exclude(stream="system").exists()
    [anna] = find_by_value("anna.aalto@example.com").hits
    assert anna.entity_id == "IDNUMBER1234"

    seeded = Comparison.objects.get()
    systems()
    settings.ABSENCE_CONFIRM_SECONDS = 0
    found_again = run_comparison()
    assert seeded.counts == found_again.counts
    assert seeded.counts["differs"] == 214

    seal_audit()
    call_command("verify_audit", stdout=io.StringIO())
    folder = unpack_export(a_finished_export({}), tmp_path)
    save_checkpoint(folder)
    assert run_readme_commands(folder) == [0, 0, 0]
    assert len((folder / "events.jsonl").read_text().splitlines()) == Event.objects.count()


@pytest.mark.submission
def test_a_start_that_was_interrupted_leaves_a_hub_that_works(
    seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holds that the next start gives the source the secret of the identity service, and adds nothing to the events."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(incidents, "overtake_failure", interrupt)
    with pytest.raises(KeyboardInterrupt):
        seed()
    events = Event.objects.count()
    assert "Seeded" not in seed()
    assert Event.objects.count() == events
    assert [secret.value for secret in Source.objects.get(slug="aurora").secrets.all()] == [SECRET]
    assert User.objects.count() == 3


@pytest.mark.parametrize("used_by", ["an event", "a source"])
def test_a_hub_that_was_used_is_left_alone(seed: Seed, used_by: str) -> None:
    source = Source.objects.create(slug="own", name="Our own")
    if used_by == "an event":
        an_event(source=source)
        Source.objects.filter(pk=source.pk).update(slug="aurora")
    assert "Seeded" not in seed()
    assert Event.objects.count() == (used_by == "an event")
