"""Link all whose verified value is equal and unique: a preview, then links of the hub only; once, whatever dies."""

from collections.abc import Callable
from typing import Any

import pytest

from audit.models import Entry
from sync.comparisons.match_linking import stages
from sync.comparisons.match_linking.linking_run import LinkingRun
from sync.comparisons.match_linking.requests import (
    LinkingRefused,
    apply_linking,
    approve_linking,
    cancel_linking,
    request_preview,
)
from sync.deliveries.routes import resolved_routes
from sync.erasure.erase import run_erasure
from sync.jobs.running_job import JobStopped
from sync.models import (
    Comparison,
    Difference,
    Link,
    MatchLinking,
    MatchLinkingMember,
    MatchOutcome,
)
from tests.support.builders.compared_systems import (
    ComparedSystems,
    add_delivery,
    change_list,
    compare,
    compared_route,
    link_record,
)
from tests.support.builders.erasure import InventedPerson, confirmed_erasure
from tests.support.builders.found_matches import (
    KIND,
    add_found,
    apply,
    decider,
    hold_all,
    links,
    preview,
    work,
)
from tests.support.jobs import die_three_times, end_leases, run_jobs
from tests.support.people import entries

pytestmark = pytest.mark.concurrent


class Killed(BaseException):
    """The process dies here."""


def codes(comparison: Comparison) -> dict[str, str]:
    """Return why each record that was found by a value is certain or not, by its entity."""
    rows = Difference.objects.filter(comparison=comparison, kind="found-by-value")
    return dict(rows.values_list("entity_id", "code"))


@pytest.fixture
def found(systems: ComparedSystems) -> ComparedSystems:
    """One person of each kind of evidence, and one who is in step."""
    hold_all()
    systems.add_pair(0)
    add_found(systems, "CERTAIN1", "k1")
    add_found(systems, "CERTAIN2", "k2")
    add_found(systems, "DOUBLE", "d1", "d2")
    add_found(systems, "UNSURE", "u1", is_verified=False)
    address = add_found(systems, "TWIN1", "t1")
    systems.add_user("TWIN2", emails=[{"address": address.upper(), "verified": True}])
    return systems


def test_only_what_is_verified_equal_and_unique_is_linked(found: ComparedSystems) -> None:
    """Holds the evidence that a comparison stores, the numbers of the preview, and that only links are written."""
    comparison = compare()
    assert codes(comparison) == {
        "CERTAIN1": "verified-unique",
        "CERTAIN2": "verified-unique",
        "DOUBLE": "ambiguous",
        "UNSURE": "unverified",
        "TWIN1": "shared-value",
        "TWIN2": "shared-value",
    }
    linking = preview(comparison)
    expected = {"ambiguous": 1, "shared-value": 2, "unverified": 1}
    assert (linking.state, linking.previewed) == ("ready", {"verified-unique": 2, **expected})
    assert links() == {"U00": "c00"}
    done = apply(linking)
    assert (done.state, done.counts) == ("done", {"linked": 2})
    assert links() == {"U00": "c00", "CERTAIN1": "k1", "CERTAIN2": "k2"}
    assert not found.writes
    assert not MatchLinkingMember.objects.exists()
    created = entries("link.created")
    assert len(created) == 2
    assert created[0]["actor"] == decider().actor
    assert created[0]["details"]["linking"] == str(linking.uuid)
    [ended] = entries("links.ended")
    assert (ended["stream"], ended["details"]["counts"]) == (comparison.stream, {"linked": 2})
    again = compare()
    assert set(codes(again)) == {"DOUBLE", "UNSURE", "TWIN1", "TWIN2"}


def twin_is_linked(systems: ComparedSystems) -> None:
    """Another person, who has a record with another address, has the address too."""
    user = systems.add_pair(5)
    systems.users[user]["emails"] = [{"address": "mary@example.com", "verified": True}]


def twin_in_delivery(systems: ComparedSystems) -> None:
    systems.add_user("OTHER", emails=[{"address": "Mary@example.com", "verified": True}])
    add_delivery("OTHER", "retrying")


def record_of_another(systems: ComparedSystems) -> None:
    """Two records have the address, of which one is linked to another person."""
    systems.add_customer("taken", None, email="mary@example.com")
    link_record("SOMEBODY", "taken")


def record_of_unknown(systems: ComparedSystems) -> None:
    """Two records have the address, of which one has the external id of somebody else."""
    systems.add_customer("taken", "GHOST", email="mary@example.com")


def unverified_twin(systems: ComparedSystems) -> None:
    systems.add_user("OTHER", emails=[{"address": "mary@example.com", "verified": False}])


@pytest.mark.submission_rows(1)
@pytest.mark.parametrize(
    ("prepare", "outcome"),
    [
        (twin_is_linked, "shared-value"),
        (twin_in_delivery, "shared-value"),
        (record_of_another, "ambiguous"),
        (record_of_unknown, "ambiguous"),
        (unverified_twin, "verified-unique"),
    ],
)
def test_a_value_is_unique_among_all_entities_and_all_records(
    systems: ComparedSystems, prepare: Callable[[ComparedSystems], None], outcome: str
) -> None:
    """Holds uniqueness on both sides also for what is no difference of the comparison."""
    hold_all()
    add_found(systems, "MARY", "m1")
    prepare(systems)
    linking = preview(compare())
    assert linking.previewed[outcome] >= 1
    assert linking.previewed.get("verified-unique", 0) == (outcome == "verified-unique")


def erase_mary(systems: ComparedSystems) -> None:
    assert run_erasure(confirmed_erasure(InventedPerson("MARY", "Name", "name@example.com")))


def deliver_mary(systems: ComparedSystems) -> None:
    add_delivery("MARY", "retrying")


def hold_mary(systems: ComparedSystems) -> None:
    add_delivery("MARY", "held", code="match-undecided")


def link_mary(systems: ComparedSystems) -> None:
    systems.add_customer("other", None)
    link_record("MARY", "other")


def take_record(systems: ComparedSystems) -> None:
    """Another identity connection has linked the record."""
    route = compared_route()
    Link.objects.create(
        identity=route.target,
        target=route.target,
        entity_type="USER",
        entity_id="ELSEWHERE",
        record_id="m1",
        applied_at="2026-01-01T00:00:00Z",
    )


def add_record(systems: ComparedSystems) -> None:
    systems.add_customer("m2", None, email="mary@example.com")


def lose_verification(systems: ComparedSystems) -> None:
    systems.users["MARY"]["emails"][0]["verified"] = False


def get_other_address(systems: ComparedSystems) -> None:
    systems.users["MARY"]["emails"][0]["address"] = "new@example.com"
    systems.add_customer("m3", None, email="new@example.com")


def get_twin(systems: ComparedSystems) -> None:
    systems.add_user("NEWCOMER", emails=[{"address": "mary@example.com", "verified": True}])


AFTER_PREVIEW: list[tuple[Callable[[ComparedSystems], None], dict[str, int]]] = [
    (erase_mary, {}),
    (deliver_mary, {"in-delivery": 1}),
    (hold_mary, {"held": 1}),
    (link_mary, {"has-record": 1}),
    (take_record, {"changed": 1}),
    (add_record, {"ambiguous": 1}),
    (lose_verification, {"unverified": 1}),
    (get_other_address, {"changed": 1}),
    (get_twin, {"shared-value": 1}),
]


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(("happen", "counts"), AFTER_PREVIEW)
def test_each_subject_is_planned_anew_before_it_is_linked(
    systems: ComparedSystems, happen: Callable[[ComparedSystems], None], counts: dict[str, int]
) -> None:
    """Holds that what happened after the preview is seen, and that the others are linked."""
    hold_all()
    add_found(systems, "MARY", "m1")
    add_found(systems, "ANN", "a1")
    linking = preview(compare())
    assert linking.previewed == {"verified-unique": 2}
    happen(systems)
    before = links()
    assert apply(linking).counts == {"linked": 1, **counts}
    assert links() == {**before, "ANN": "a1"}
    assert not systems.writes


def test_what_happens_between_the_plan_and_the_link_is_seen(
    systems: ComparedSystems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holds the checks inside the commit: a webhook, another link, and an erasure while both systems were read."""
    hold_all()
    for name in ("ANN", "MARY", "PAUL", "ZOE"):
        add_found(systems, name, f"{name.lower()}1")
    linking, planned, plan = preview(compare()), [], LinkingRun.plan

    def plan_and_change(run: LinkingRun, resolved: Any, entity_id: str) -> Any:
        found = plan(run, resolved, entity_id)
        planned.append(entity_id)
        if entity_id == "ANN":
            add_delivery("ANN", "retrying")
        elif entity_id == "MARY":
            link_record("ELSEWHERE", "mary1")
        elif entity_id == "PAUL":
            assert run_erasure(confirmed_erasure(InventedPerson("PAUL", "Name", "name@example.com")))
        return found

    monkeypatch.setattr(LinkingRun, "plan", plan_and_change)
    assert apply(linking).counts == {"linked": 1, "in-delivery": 1, "record-taken": 1}
    assert planned == ["ANN", "MARY", "PAUL", "ZOE"]
    assert links() == {"ELSEWHERE": "mary1", "ZOE": "zoe1"}


@pytest.mark.submission_rows(1)
@pytest.mark.parametrize(
    "place",
    ["schedule_awaiting", "_store_planned", "_begin_walk", "_end_preview", "_link_member", "_end_links"],
)
def test_a_killed_run_resumes_and_links_nobody_twice(
    found: ComparedSystems, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(stages, "BATCH_SIZE", 2)
    comparison, calls = compare(), []
    real = getattr(stages, place)

    def killed(*args: Any) -> Any:
        calls.append(place)
        # After the first of several, and once.
        if len(calls) == 1:
            raise Killed
        return real(*args)

    monkeypatch.setattr(stages, place, killed)
    linking = request_preview(comparison, decider(), "first load")
    run_killed(linking)
    assert linking.previewed == {"verified-unique": 2, "ambiguous": 1, "shared-value": 2, "unverified": 1}
    apply_linking(linking, decider(), 500)
    run_killed(linking)
    assert calls
    assert (linking.state, linking.counts) == ("done", {"linked": 2})
    assert links() == {"U00": "c00", "CERTAIN1": "k1", "CERTAIN2": "k2"}
    assert len(entries("link.created")) == 2
    assert not found.writes


def run_killed(linking: MatchLinking) -> None:
    """Run the job; a worker that was killed leaves its lease."""
    for _ in range(4):
        try:
            run_jobs(KIND)
        except Killed:
            end_leases()
        linking.refresh_from_db()
        if not linking.is_running:
            return
    raise AssertionError(linking.state)


@pytest.mark.submission
def test_a_run_that_lost_its_lease_or_was_cancelled_writes_nothing(
    found: ComparedSystems, monkeypatch: pytest.MonkeyPatch
) -> None:
    linking, plan = preview(compare()), LinkingRun.plan

    def plan_and_cancel(run: LinkingRun, resolved: Any, entity_id: str) -> Any:
        planned = plan(run, resolved, entity_id)
        cancel_linking(MatchLinking.objects.get(), decider())
        return planned

    monkeypatch.setattr(LinkingRun, "plan", plan_and_cancel)
    done = apply(linking)
    assert (done.state, links()) == ("cancelled", {"U00": "c00"})
    assert not MatchLinkingMember.objects.exists()
    assert [entry["action"] for entry in Entry.objects.filter(action="links.cancelled").values("action")]
    with pytest.raises(LinkingRefused, match="already ended"):
        cancel_linking(done, decider())


@pytest.mark.submission
def test_a_run_stops_with_its_process_and_goes_on_in_the_next(found: ComparedSystems) -> None:
    linking = request_preview(compare(), decider(), "first load")
    calls: list[int] = []

    def should_continue() -> bool:
        calls.append(1)
        return len(calls) < 12

    run_jobs(KIND, should_continue=should_continue)
    linking.refresh_from_db()
    assert linking.state == "previewing"
    assert work(linking).previewed["verified-unique"] == 2


@pytest.mark.submission_rows(1)
@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda systems: change_list("identity", complete=None), "list-not-complete"),
        (lambda systems: systems.users.clear(), "list-empty"),
        (lambda systems: change_list("identity", is_removed=True), "no-list"),
    ],
)
def test_without_the_whole_list_nothing_is_certain(
    found: ComparedSystems, spoil: Callable[[ComparedSystems], None], code: str
) -> None:
    """Holds that a list which is a sample, or has ended early, proves no value to be unique."""
    comparison = compare()
    spoil(found)
    linking = preview(comparison)
    assert (linking.state, linking.problem) == ("failed", code)
    assert not MatchLinkingMember.objects.exists()


@pytest.mark.submission
def test_a_route_that_has_changed_links_nothing(found: ComparedSystems) -> None:
    comparison = compare()
    linking = preview(comparison)
    route = compared_route()
    type(route).objects.filter(pk=route.pk).update(relays=True, matching="hold")
    resolved_routes.invalidate()
    done = apply(linking)
    assert (done.state, done.problem, links()) == ("failed", "route-changed", {"U00": "c00"})
    with pytest.raises(LinkingRefused, match="changed since"):
        request_preview(Comparison.objects.get(), decider(), "again")


@pytest.mark.submission
def test_a_request_is_refused_where_it_makes_no_sense(found: ComparedSystems) -> None:
    comparison = compare()
    with pytest.raises(LinkingRefused, match="reason"):
        request_preview(comparison, decider(), "  ")
    linking = request_preview(comparison, decider(), "first load")
    with pytest.raises(LinkingRefused, match="already open"):
        request_preview(comparison, decider(), "first load")
    with pytest.raises(LinkingRefused, match="cannot be applied"):
        apply_linking(linking, decider(), 500)
    cancel_linking(linking, decider())
    compare()
    with pytest.raises(LinkingRefused, match="newer comparison"):
        request_preview(comparison, decider(), "first load")


@pytest.mark.submission
def test_above_the_limit_a_second_person_approves(found: ComparedSystems, settings: Any) -> None:
    settings.SECOND_PERSON_HOURS = 0
    linking = preview(compare())
    assert apply(linking, limit=1).state == "awaiting"
    assert links() == {"U00": "c00"}
    with pytest.raises(LinkingRefused, match="second person"):
        approve_linking(linking, decider())
    linking.refresh_from_db()
    approve_linking(linking, decider("second"))
    assert work(linking).counts == {"linked": 2}
    assert (linking.applied_by_id, linking.approved_by_id) == (
        decider().user.pk,
        decider("second").user.pk,
    )


@pytest.mark.submission
def test_a_crash_ends_the_run_and_an_unavailable_system_does_not(found: ComparedSystems) -> None:
    comparison = compare()
    linking = request_preview(comparison, decider(), "first load")
    found.refuses_records = True
    run_jobs(KIND)
    linking.refresh_from_db()
    assert (linking.state, linking.problem) == ("previewing", "target-credentials")
    found.refuses_records = False
    assert work(linking).state == "ready"
    apply_linking(linking, decider(), 500)
    die_three_times(KIND)
    linking.refresh_from_db()
    assert (linking.state, linking.problem) == ("failed", "internal-failure")
    assert entries("links.ended")[0]["details"]["failure"] == "internal-failure"
    assert MatchOutcome.LINKED not in linking.counts


@pytest.mark.submission
def test_rows_that_were_not_confirmed_are_taken_too(found: ComparedSystems) -> None:
    comparison = compare()
    Difference.objects.filter(entity_id="CERTAIN1").update(status="not-confirmed", code="")
    assert preview(comparison).previewed["verified-unique"] == 2


@pytest.mark.submission
def test_a_stopped_worker_raises(found: ComparedSystems) -> None:
    run = LinkingRun(preview(compare()), None, lambda: False)  # type: ignore[arg-type]
    with pytest.raises(JobStopped):
        run.resolve_route()
