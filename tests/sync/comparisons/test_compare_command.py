"""`manage.py compare`: what it prints and its exit status, with the job runner of a worker between two looks."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from sync.comparisons.requests import open_comparison
from sync.management.commands import compare
from sync.models import Comparison, ComparisonState, Job, Route
from tests.support.compared_people import fill_systems, record_id, record_of
from tests.support.comparisons import PEOPLE, people_route, set_list
from tests.support.hub import Hub
from tests.support.jobs import run_jobs

pytestmark = pytest.mark.concurrent


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def people(hub: Hub, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Hub:
    """Yield a hub whose two systems hold the same three people; a worker runs between two looks of the command."""
    settings.ABSENCE_CONFIRM_SECONDS = 0.0
    at_each_look(monkeypatch, lambda: run_jobs("comparison"))
    fill_systems(hub.identity, hub.shop, 3, execute)
    return hub


def at_each_look(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    monkeypatch.setattr(compare.time, "sleep", lambda _seconds: do())


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def run(*arguments: str, errors: io.StringIO | None = None) -> tuple[int, str]:
    """Run the command. Returns its exit status and what it printed."""
    output = io.StringIO()
    try:
        call_command("compare", *arguments, stdout=output, stderr=errors or io.StringIO())
    except SystemExit as ended:
        return int(str(ended.code)), output.getvalue()
    return 0, output.getvalue()


def differ(hub: Hub, number: int) -> None:
    hub.shop.store.put_record("customers", record_id(number), record_of(number) | {"first_name": "Aino"})


def test_its_status_says_whether_the_two_systems_agree(people: Hub) -> None:
    status, text = run(PEOPLE)
    assert (status, text.splitlines()[0]) == (0, f"{PEOPLE}: in step.")
    assert "3  in step" in text
    differ(people, 1)
    status, text = run(PEOPLE)
    assert (status, text.splitlines()[0]) == (1, f"{PEOPLE}: not in step.")
    assert "1  differs (first_name 1)" in text
    status, text = run(PEOPLE, "aurora-unsigned-user-shop", "--json")
    results = json.loads(text)
    assert status == 1
    assert [(one["route"], one["in_step"]) for one in results] == [
        (PEOPLE, False),
        ("aurora-unsigned-user-shop", False),
    ]
    # Both routes are of one pair, which is compared once.
    assert len({one["comparison"] for one in results}) == 1
    assert results[0]["counts"]["differs"] == 1


@pytest.mark.submission
def test_records_that_the_target_alone_knows_do_not_count(people: Hub) -> None:
    people.shop.catalogue.create_record("customers", {"email": "stranger@example.org"})
    status, text = run(PEOPLE)
    assert (status, text.splitlines()[0]) == (0, f"{PEOPLE}: in step.")
    assert "1  unknown record" in text


@pytest.mark.submission
def test_it_cannot_tell_if_not_all_entities_could_be_read(people: Hub) -> None:
    set_list(people_route().identity, "USER", complete=None)
    status, text = run(PEOPLE)
    assert (status, text.splitlines()[0]) == (2, f"{PEOPLE}: cannot tell.")
    assert "The list of the identity service was not read completely" in text


def test_an_unknown_route_is_named_before_anything_is_compared(people: Hub) -> None:
    with pytest.raises(
        CommandError, match="There is no route nowhere. Routes: .*aurora-user-shop"
    ) as refused:
        run(PEOPLE, "nowhere")
    assert refused.value.returncode == 2
    assert not Comparison.objects.exists()


def test_a_route_that_cannot_be_compared_says_why_and_the_others_are(people: Hub) -> None:
    relaying = Route.objects.get(slug="aurora-group-shop")
    Route.objects.filter(pk=relaying.pk).update(relays=True)
    status, text = run(relaying.slug, PEOPLE)
    assert status == 2
    assert f"{relaying.slug}: cannot tell. This route uses the webhook's own data" in text
    assert f"{PEOPLE}: in step." in text


def test_an_interrupted_command_leaves_the_comparison_running_until_it_is_cancelled(
    people: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    at_each_look(monkeypatch, interrupt)
    with pytest.raises(CommandError, match=f"compare {PEOPLE} --cancel` ends it") as interrupted:
        run(PEOPLE)
    assert interrupted.value.returncode == 2
    assert open_comparison(people_route()) is not None
    assert run(PEOPLE, "--cancel") == (0, f"{PEOPLE}: The comparison was cancelled.\n")
    assert Comparison.objects.get().state == ComparisonState.CANCELLED
    assert not Job.objects.filter(kind="comparison", state="waiting").exists()
    assert run(PEOPLE, "--cancel") == (0, f"{PEOPLE}: No comparison is open.\n")


def test_a_comparison_that_somebody_cancels_gives_no_verdict(
    people: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_each_look(monkeypatch, lambda: run(PEOPLE, "--cancel"))
    status, text = run(PEOPLE, "--json")
    [result] = json.loads(text)
    assert (status, result["in_step"], result["state"]) == (2, None, "cancelled")
    assert "cancelled" in result["failure"]


@pytest.mark.parametrize(("errors", "is_shown"), [(Terminal(), True), (io.StringIO(), False)])
def test_progress_is_for_terminals_alone(people: Hub, errors: io.StringIO, is_shown: bool) -> None:
    assert run(PEOPLE, errors=errors)[0] == 0
    assert (f"{PEOPLE}: waiting for a worker" in errors.getvalue()) == is_shown


def test_it_says_that_no_worker_takes_it(people: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "WORKER_SECONDS", 0.0)
    errors = io.StringIO()
    assert run(PEOPLE, errors=errors)[0] == 0
    assert errors.getvalue().count("Waiting for a worker (manage.py run_worker)") == 1
