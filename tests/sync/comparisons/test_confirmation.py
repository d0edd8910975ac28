"""A difference is reported only after both sides were fetched again, and of the kind that this shows."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from sync.comparisons.confirmation import candidates, confirmation_run
from sync.comparisons.confirmation.confirmation_run import SystemsUnavailable
from sync.jobs.running_job import JobCancelled, JobStopped
from sync.jobs.submission import cancel_job
from sync.models import Comparison, Delivery, Difference, Link, MappingVersion, Route
from sync.planning.record_matching import MatchingPolicy
from tests.support.builders.candidates import (
    confirm,
    confirm_to_the_end,
    confirming,
    found,
    job_of,
    let_absence_last,
)
from tests.support.builders.matched_records import (
    a_customer,
    a_user,
    follow,
)
from tests.support.changed_ids import seed_people
from tests.support.hub import Hub
from webhooks.models import SubjectKey

MISSING, GONE, UNREADABLE = "missing-record", "entity-gone", "unreadable"
ENTITY_UNPROVEN, RECORD_UNPROVEN = "identity-missing-unproven", "target-missing-unproven"


def candidate(entity_id: str, kind: str = "differs", **values: Any) -> dict[str, Any]:
    return {"entity_id": entity_id, "kind": kind, **values}


def requests_of(hub: Hub) -> int:
    return len(hub.identity.read_journal()) + len(hub.shop.read_journal())


def delete_users(hub: Hub, *users: str) -> None:
    for user in users:
        hub.identity.directory.delete_record("users", user)


def delete_record(hub: Hub, user: str) -> None:
    hub.shop.catalogue.delete_record("customers", Link.objects.get(entity_id=user).record_id)


def differing(hub: Hub) -> list[str]:
    """Give one of two linked people another address, which the shop does not have."""
    users = seed_people(hub, 2)
    confirm_equal(hub, users)
    hub.change_email("moved@example.com", users[0])
    return users


def confirm_equal(hub: Hub, users: list[str]) -> None:
    for user in users:
        update(hub, user)


def update(hub: Hub, user: str) -> None:
    """Post a webhook of a person, and wait until it is delivered."""
    hub.post_signed({"id": user, "entityType": "USER", "eventType": "UPDATE"})
    hub.wait_until_idle()
    hub.wait_until_quiet()


def test_only_what_differs_now_is_reported_with_its_fields(hub: Hub) -> None:
    """Holds that confirmation reads both sides: the candidate that is equal by now goes, with two requests for each."""
    users = differing(hub)
    comparison = confirming(*map(candidate, users))
    before = requests_of(hub)
    assert confirm_to_the_end(comparison) == {"differs": 1, "in-step": 1}
    assert requests_of(hub) - before == 4
    assert found(comparison) == [("differs", users[0], ["email"], "")]
    assert comparison.field_counts == {"email": 1}
    row = Difference.objects.get()
    assert (row.status, row.record_id) == ("confirmed", Link.objects.get(entity_id=users[0]).record_id)
    assert not [write for write in hub.writes() if "moved@example.com" in str(write)]


def test_a_record_is_missing_after_a_search_by_id_and_match_fields(hub: Hub) -> None:
    """Holds the number of requests: one for the entity, one for the external id, one for each match field."""
    a_user(hub, ("nobody@example.com", True), user="NEW1")
    comparison = confirming(candidate("NEW1", MISSING))
    before = requests_of(hub)
    assert confirm_to_the_end(comparison) == {MISSING: 1}
    assert requests_of(hub) - before == 2 + 1
    assert found(comparison) == [(MISSING, "NEW1", [], "")]


def test_a_linked_record_is_missing_if_its_absence_is_proven(hub: Hub) -> None:
    users = seed_people(hub, 3)
    for user in users[:2]:
        delete_record(hub, user)
    comparison = confirming(*(candidate(user, MISSING) for user in users[:2]))
    assert confirm_to_the_end(comparison) == {MISSING: 2}


def fail_search(hub: Hub) -> None:
    hub.shop.faults.add("error", status=400, path="/api/customers$", methods=["GET"])


def hide_shop(hub: Hub) -> None:
    hub.shop.faults.add("hide")


@pytest.mark.parametrize(
    ("user", "break_shop", "code"),
    [("NEW1", fail_search, "target-rejected"), ("PERSON000", hide_shop, RECORD_UNPROVEN)],
)
def test_a_failed_search_or_proof_is_no_missing_record(
    hub: Hub, user: str, break_shop: Callable[[Hub], None], code: str
) -> None:
    """Holds that what could not be searched or proven is reported as unreadable, with the code."""
    seed_people(hub, 2)
    a_user(hub, ("nobody@example.com", True), user="NEW1")
    comparison = confirming(candidate(user, MISSING))
    break_shop(hub)
    assert confirm_to_the_end(comparison) == {UNREADABLE: 1}
    assert found(comparison) == [(UNREADABLE, user, [], code)]


@pytest.mark.parametrize(
    ("policy", "is_verified", "kind", "code"),
    [
        ("verified", True, "found-by-value", "verified-unique"),
        ("verified", False, "found-by-value", "unverified"),
        ("hold", True, "found-by-value", "verified-unique"),
        ("trusted", False, "found-by-value", "unverified"),
        ("never", True, MISSING, ""),
    ],
)
def test_a_record_with_the_same_value_is_for_the_matching_desk(
    hub: Hub, policy: str, is_verified: bool, kind: str, code: str
) -> None:
    """Holds that a record which the policy would link or hold is not reported as missing, and that the row says how
    certain it is, whatever the policy.
    """
    follow(MatchingPolicy(policy))
    record = a_customer(hub, "shared@example.com")
    a_user(hub, ("shared@example.com", is_verified))
    comparison = confirming(candidate("MALLORY1", MISSING))
    assert confirm_to_the_end(comparison) == {kind: 1}
    row = Difference.objects.get()
    assert (row.record_id, row.code) == (record if kind != MISSING else "", code)


def test_entities_are_gone_after_two_looks_and_a_proof(hub: Hub) -> None:
    """Holds I24 for a comparison: four requests for one, the probe and the wait shared by several, no write."""
    users = seed_people(hub, 6)
    delete_users(hub, *users[:4])
    one, writes = confirming(candidate(users[0], GONE)), len(hub.writes())
    before = requests_of(hub)
    assert 25 < (confirm(one) or 0) <= 30
    assert requests_of(hub) - before == 1
    assert confirm(one) is not None
    assert requests_of(hub) - before == 1
    let_absence_last()
    assert confirm(one) is None
    assert requests_of(hub) - before == 4
    assert found(one) == [(GONE, users[0], ["active"], "")]
    Comparison.objects.update(state="done")
    several = confirming(*(candidate(user, GONE) for user in users[1:4]))
    before = requests_of(hub)
    assert confirm_to_the_end(several) == {GONE: 3}
    assert requests_of(hub) - before == 3 * 3 + 2
    assert len(hub.writes()) == writes


def come_back(hub: Hub, user: str) -> None:
    a_user(hub, ("back@example.com", True), user=user)


def unlink(hub: Hub, user: str) -> None:
    Link.objects.filter(entity_id=user).delete()


def deactivate(hub: Hub, user: str) -> None:
    hub.shop.catalogue.update_record(
        "customers", Link.objects.get(entity_id=user).record_id, {"active": False}, replaces=False
    )


def ignore_deletions(hub: Hub, user: str) -> None:
    Route.objects.update(when_deleted="ignore")


def hide_identity(hub: Hub, user: str) -> None:
    hub.identity.faults.add("error", status=404)


def forbid_identity(hub: Hub, user: str) -> None:
    hub.identity.faults.add("error", status=403, path=f"/api/users(?!/{user})")


def find_unproven_owner(hub: Hub, user: str) -> None:
    hub.shop.catalogue.update_record(
        "customers", Link.objects.get(entity_id=user).record_id, {"external_id": "UNKNOWN"}, replaces=False
    )


@pytest.mark.submission_rows(3)
@pytest.mark.parametrize(
    ("change", "counts", "rows"),
    [
        (hide_identity, {UNREADABLE: 1}, [ENTITY_UNPROVEN]),
        (deactivate, {"in-step-removed": 1}, []),
        (come_back, {"differs": 1}, [""]),
        (ignore_deletions, {"in-step-removed": 1}, []),
        (unlink, {}, []),
        (delete_record, {"in-step-removed": 1}, []),
        (forbid_identity, {UNREADABLE: 1}, [ENTITY_UNPROVEN]),
        (find_unproven_owner, {GONE: 1}, ["held-external-id"]),
    ],
)
def test_what_happens_between_the_two_looks_decides(
    hub: Hub, change: Callable[[Hub, str], None], counts: dict[str, int], rows: list[str]
) -> None:
    """Holds what an entity that was not listed is, for each change after its first look."""
    user, *_ = seed_people(hub, 3)
    delete_users(hub, user)
    comparison = confirming(candidate(user, GONE))
    assert confirm(comparison) is not None
    change(hub, user)
    let_absence_last()
    assert confirm_to_the_end(comparison) == counts
    assert [code for _, _, _, code in found(comparison)] == rows


def test_nothing_is_gone_while_the_list_has_a_gap(hub: Hub) -> None:
    user, *_ = seed_people(hub, 2)
    delete_users(hub, user)
    comparison = confirming(candidate(user, GONE), identity_gap="list-ended-early")
    assert (confirm_to_the_end(comparison), found(comparison)) == ({}, [])


def test_a_listed_entity_that_is_not_found_is_unreadable(hub: Hub) -> None:
    """Holds that a list which contradicts the path of items never makes an entity gone."""
    user, *_ = seed_people(hub, 2)
    comparison = confirming(candidate(user))
    delete_users(hub, user)
    assert confirm_to_the_end(comparison) == {UNREADABLE: 1}
    assert found(comparison) == [(UNREADABLE, user, [], ENTITY_UNPROVEN)]


def test_a_proof_that_fails_afterwards_proves_nothing(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Holds that the shared proof is made again: a service that hides everything after the first subject of a batch has
    removed nobody.
    """
    users = seed_people(hub, 4)
    delete_users(hub, users[0])
    comparison = confirming(candidate(users[0], GONE), candidate(users[1], GONE), candidate(users[2], GONE))
    hub.identity.faults.add("error", status=404, path=f"/api/users/({'|'.join(users[1:3])})$")
    assert confirm(comparison) is not None
    let_absence_last()
    judge = confirmation_run.judge_unlisted

    def hide_after_first(*args: Any, **kwargs: Any) -> Any:
        verdict = judge(*args, **kwargs)
        hub.identity.faults.add("error", status=404)
        return verdict

    monkeypatch.setattr(confirmation_run, "judge_unlisted", hide_after_first)
    assert confirm_to_the_end(comparison) == {GONE: 1, UNREADABLE: 2}


def test_subjects_in_delivery_are_left_out_and_stopped_ones_named(hub: Hub) -> None:
    """Holds the four states of a subject's delivery: waiting and running ones are only counted."""
    users = seed_people(hub, 4)
    for user in users:
        hub.change_email(f"moved-{user.lower()}@example.com", user)
        update(hub, user)
        hub.change_email(f"again-{user.lower()}@example.com", user)
    states = [("retrying", ""), ("dead", "target-rejected"), ("held", "held"), ("pending", "")]
    for user, (state, code) in zip(users, states, strict=True):
        Delivery.objects.filter(entity_id=user).update(state=state, code=code)
    comparison = confirming(*map(candidate, users))
    before = requests_of(hub)
    counts = confirm_to_the_end(comparison)
    Delivery.objects.update(state="succeeded")
    assert counts == {"in-delivery": 2, "differs": 2}
    assert requests_of(hub) - before == 4
    rows = Difference.objects.order_by("pk").values_list("entity_id", "delivery_state", "code")
    assert list(rows) == [(users[1], "dead", "target-rejected"), (users[2], "held", "held")]


def test_a_record_that_is_written_while_its_subject_is_planned_is_planned_again(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holds that a webhook between the two reads of a subject reports no difference: the entity is old, the record new."""
    users = differing(hub)
    comparison = confirming(candidate(users[0]))
    plan = confirmation_run.plan_subject

    def plan_while_healed(*args: Any, **kwargs: Any) -> Any:
        planned = plan(*args, **kwargs)
        monkeypatch.setattr(confirmation_run, "plan_subject", plan)
        update(hub, users[0])
        return planned

    monkeypatch.setattr(confirmation_run, "plan_subject", plan_while_healed)
    # What is planned once more at the end would find the same.
    monkeypatch.setattr(confirmation_run, "reopen_changed", lambda comparison, _: comparison)
    assert confirm_to_the_end(comparison) == {"in-step": 1}


def test_a_difference_whose_webhook_arrives_later_is_planned_once_more(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holds that a change which was seen before its webhook came is none at the end of the comparison."""
    users = differing(hub)
    hub.change_email("late@example.com", users[1])
    comparison = confirming(*map(candidate, users))
    confirm_all = confirmation_run._Run.confirm_all

    def confirm_and_heal(run: Any) -> float | None:
        seconds = confirm_all(run)
        monkeypatch.undo()
        update(hub, users[0])
        return seconds

    monkeypatch.setattr(confirmation_run._Run, "confirm_all", confirm_and_heal)
    assert confirm_to_the_end(comparison) == {"differs": 1, "in-step": 1}
    assert (found(comparison), comparison.field_counts) == (
        [("differs", users[1], ["email"], "")],
        {"email": 1},
    )


def test_beyond_a_thousand_of_a_kind_nothing_is_planned(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Holds the bound of each kind, and that the rest is counted with the kind it would have."""
    monkeypatch.setattr(candidates, "MAX_CONFIRMED", 2)
    monkeypatch.setattr(candidates, "_SURPLUS_BATCH", 2)
    others = [candidate(f"NOBODY{number}") for number in range(5)]
    comparison = confirming(*others, candidate("NOBODY9", MISSING))
    before = len(hub.identity.read_journal())
    counts = confirm_to_the_end(comparison)
    assert (counts["differs"], comparison.unconfirmed) == (3, {"differs": 3})
    kept = Difference.objects.filter(status="not-confirmed").values_list("entity_id", "kind")
    assert sorted(kept) == [("NOBODY2", "differs"), ("NOBODY3", "differs"), ("NOBODY4", "differs")]
    fetched = {one["path"].rpartition("/")[2] for one in hub.identity.read_journal()[before:]}
    assert {name for name in fetched if name.startswith("NOBODY")} == {"NOBODY0", "NOBODY1", "NOBODY9"}


def fail_shop(hub: Hub) -> None:
    hub.shop.faults.add("error", status=503)


def refuse_token(hub: Hub) -> None:
    hub.shop.faults.add("error", status=401)


@pytest.mark.parametrize(
    ("break_shop", "code"),
    [(fail_shop, "target-unavailable"), (refuse_token, "target-credentials")],
)
def test_an_unavailable_system_postpones_and_reports_nothing(
    hub: Hub, break_shop: Callable[[Hub], None], code: str
) -> None:
    """Holds that an outage in the middle makes no difference: the candidates stay, and are confirmed after it."""
    users = differing(hub)
    comparison = confirming(*map(candidate, users))
    break_shop(hub)
    with pytest.raises(SystemsUnavailable) as postponed:
        confirm(comparison)
    assert (postponed.value.code, Difference.objects.filter(status="candidate").count()) == (code, 2)
    hub.shop.faults.clear()
    assert confirm_to_the_end(comparison) == {"differs": 1, "in-step": 1}


def test_one_item_that_always_fails_does_not_stop_the_others(hub: Hub) -> None:
    """Holds that a system which answers a probe is not unavailable because of one item."""
    users = differing(hub)
    comparison = confirming(*map(candidate, users))
    hub.identity.faults.add("error", status=500, path=f"/api/users/{users[1]}$")
    assert confirm_to_the_end(comparison) == {"differs": 1, UNREADABLE: 1}
    assert found(comparison)[1] == (UNREADABLE, users[1], [], "identity-unavailable")


def test_a_stopped_run_continues_after_what_it_has_stored(hub: Hub) -> None:
    """Holds that a decided candidate is not planned twice, and that a lost job writes nothing."""
    users = differing(hub)
    comparison = confirming(*map(candidate, users))
    before, answers = requests_of(hub), iter([True, False])
    with pytest.raises(JobStopped):
        confirm(comparison, lambda: next(answers))
    assert (requests_of(hub) - before, Difference.objects.filter(status="candidate").count()) == (2, 1)
    job = job_of(comparison)
    cancel_job("comparison", comparison.pk)
    with pytest.raises(JobCancelled):
        confirm(comparison, job=job)
    comparison.refresh_from_db()
    assert comparison.counts == {"differs": 1}


def test_an_erased_subject_gets_no_row(hub: Hub) -> None:
    """Holds that an erased subject is only counted, also if its erasure ends while it is planned."""
    users = differing(hub)
    comparison = confirming(*map(candidate, users))
    SubjectKey.objects.update(wrapped=None, destroyed_at=timezone.now())
    before = requests_of(hub)
    assert confirm_to_the_end(comparison) == {"differs": 2}
    assert (found(comparison), requests_of(hub)) == ([], before)
    Comparison.objects.update(state="done")
    again = confirming(*map(candidate, users))
    row = Difference.objects.filter(comparison=again).first()
    assert row is not None
    row.delete()
    assert confirm_to_the_end(again) == {"differs": 1}


def test_a_mapping_that_fails_is_named(hub: Hub) -> None:
    a_user(hub, user="NEW1")
    version = MappingVersion.objects.filter(
        mapping__routes__source__slug="aurora", mapping__routes__entity_type="USER"
    )
    newest = version.latest("number")
    newest.declaration["fields"]["phone"] = {"path": "entity.mobiles[0].number", "required": True}
    MappingVersion.objects.create(
        mapping=newest.mapping, number=newest.number + 1, declaration=newest.declaration
    )
    comparison = confirming(candidate("NEW1", MISSING))
    assert confirm_to_the_end(comparison) == {"unmappable": 1}
    assert found(comparison) == [("unmappable", "NEW1", [], "unmappable")]
