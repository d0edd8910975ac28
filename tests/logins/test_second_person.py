"""Who may be the second person: not one who got the permission a moment ago, and not one behind whom the first may be."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from logins import held_permissions, second_person
from logins.held_permissions import APPROVE_EXPORTS, ERASE, PERMISSIONS
from logins.models import HeldPermission
from logins.second_person import MAX_DECIDERS, possible_deciders, why_not_second
from tests.support.people import person

pytestmark = pytest.mark.django_db

TOO_NEW = "a second person must have had the permission for 24 hours"
DEPENDENT = (
    "Your login and that of the person who requested it were added, changed or unlocked by one another"
)
HOUR = timedelta(hours=1)


def reason(second: User, first: User, asked: timedelta = timedelta(0), permission: str = ERASE) -> str:
    return why_not_second(second.pk, first.pk, permission, timezone.now() - asked)


def change(changed: User, by: User, ago: timedelta, action: str = "person.changed") -> None:
    """Append the entry that the console appends for a change of a login."""
    with transaction.atomic():
        entry = NewEntry(f"person:{changed.pk}", action, f"person:{by.pk}")
        append_entries(entry, at=timezone.now() - ago)


def permissions_of(holder: User) -> set[str]:
    return set(HeldPermission.objects.filter(person=holder).values_list("permission", flat=True))


def age_of(holder: User) -> timedelta:
    return timezone.now() - HeldPermission.objects.get(person=holder, permission=ERASE).since


def test_only_a_person_who_had_the_permission_for_a_day_may_be_the_second_one_and_reads_from_when() -> None:
    anna = person("administrator", "anna")
    root = User.objects.create_superuser("root")
    assert TOO_NEW in reason(root, anna)
    since = HeldPermission.objects.get(person=root, permission=ERASE).since
    assert f"{since + timedelta(days=1):%Y-%m-%d %H:%M} UTC" in reason(root, anna)
    assert reason(person("administrator", "eva"), anna) == ""
    assert reason(person("support", "olli"), anna) == "You do not have the permission to approve this."
    HeldPermission.objects.filter(person=root).update(since=timezone.now() - 24 * HOUR - timedelta(seconds=1))
    assert reason(root, anna) == ""
    HeldPermission.objects.filter(person=root).update(since=timezone.now() - 23 * HOUR)
    assert TOO_NEW in reason(root, anna)


@pytest.mark.parametrize(("hours", "is_too_late"), [(24, True), (1, True), (0, False)])
def test_whoever_gets_the_permission_after_the_request_never_approves_it(
    settings: Any, hours: int, is_too_late: bool
) -> None:
    """Waiting does not help: otherwise one person could appoint the other, in order to approve."""
    settings.SECOND_PERSON_HOURS = hours
    anna, eva = person("administrator", "anna"), person("administrator", "eva")
    assert ("after the request" in reason(eva, anna, 49 * HOUR)) == is_too_late
    assert not reason(eva, anna, 47 * HOUR)


@pytest.mark.parametrize(
    ("hours", "held", "text"), [(48, 47, "for 48 hours"), (48, 49, ""), (0, 0, ""), (1, 0, "for 1 hour.")]
)
def test_the_wait_is_a_setting(settings: Any, hours: int, held: int, text: str) -> None:
    settings.SECOND_PERSON_HOURS = hours
    anna, eva = person("administrator", "anna"), person("administrator", "eva")
    HeldPermission.objects.filter(person=eva).update(since=timezone.now() - held * HOUR)
    assert (text in reason(eva, anna)) if text else reason(eva, anna) == ""
    other = person("administrator", "olli")
    change(other, anna, hours / 2 * HOUR + timedelta(seconds=1))
    assert (DEPENDENT in reason(other, anna)) == (hours > 0)


def test_a_request_names_who_can_approve_it_and_from_when() -> None:
    """Holds that the named people are those whom `why_not_second` accepts, now or at the named time."""
    anna, eva, late = (person("administrator", name) for name in ("anna", "eva", "late"))
    known, gone = person("administrator", "known"), person("administrator", "gone")
    change(known, anna, 100 * HOUR, "person.password-changed")
    User.objects.filter(pk=gone.pk).update(is_active=False)
    since = timezone.now() - HOUR
    HeldPermission.objects.filter(person=late).update(since=since)
    person("administrator", "afterwards")
    HeldPermission.objects.filter(person__username="afterwards").update(since=timezone.now() + HOUR)
    found = possible_deciders(anna.pk, ERASE, timezone.now())
    assert [(each.person, each.begins) for each in found] == [(eva, None), (late, since + 24 * HOUR)]
    assert possible_deciders(anna.pk, ERASE, timezone.now(), lambda user: user == late)[0].person == late
    for number in range(MAX_DECIDERS):
        person("administrator", f"more{number}")
    assert len(possible_deciders(anna.pk, ERASE, timezone.now())) == MAX_DECIDERS


def test_a_permission_given_by_sql_counts_from_the_time_it_is_first_seen() -> None:
    eva, anna = person("support", "eva"), person("administrator", "anna")
    User.objects.filter(pk=eva.pk).update(is_superuser=True)
    assert "You got this permission after the request." in reason(eva, anna)
    assert TOO_NEW in reason(eva, anna)
    assert age_of(eva) < HOUR


def lose_role(holder: User) -> None:
    holder.groups.clear()
    holder.groups.set(Group.objects.filter(name="administrator"))


def lose_role_from_its_side(holder: User) -> None:
    role = Group.objects.get(name="administrator")
    role.user_set.clear()
    role.user_set.add(holder)


def lose_permission_of_the_role(holder: User) -> None:
    role, permission = (
        Group.objects.get(name="administrator"),
        Permission.objects.get(codename="erase_subject"),
    )
    role.permissions.remove(permission)
    role.permissions.add(permission)


def lose_the_role_itself(holder: User) -> None:
    holder.groups.set([Group.objects.create(name="erasers")])
    Group.objects.get(name="erasers").delete()
    holder.user_permissions.add(Permission.objects.get(codename="erase_subject"))


def switch_off(holder: User, flag: str = "is_active") -> None:
    for is_on in (False, True):
        setattr(holder, flag, is_on)
        holder.save(update_fields=[flag])


def close_the_console(holder: User) -> None:
    switch_off(holder, "is_staff")


GAPS = (
    lose_role,
    lose_role_from_its_side,
    lose_permission_of_the_role,
    lose_the_role_itself,
    switch_off,
    close_the_console,
)


@pytest.mark.parametrize("gap", GAPS)
def test_after_a_gap_the_time_begins_again(gap: Any) -> None:
    eva = person("administrator", "eva")
    gap(eva)
    assert age_of(eva) < HOUR
    assert TOO_NEW in reason(eva, person("administrator", "anna"))


def test_another_role_and_a_login_leave_the_time_as_it_is() -> None:
    eva, olli = person("administrator", "eva"), person("support", "olli")
    eva.groups.add(Group.objects.get(name="support"))
    eva.last_login = timezone.now()
    eva.save(update_fields=["last_login"])
    held_permissions.record_held_permissions()
    assert permissions_of(eva) == set(PERMISSIONS) - {APPROVE_EXPORTS}
    assert age_of(eva) > 24 * HOUR
    assert permissions_of(olli) == {"sync.approve_replay"}
    olli.groups.clear()
    assert permissions_of(olli) == set()
    assert permissions_of(eva) == set(PERMISSIONS) - {APPROVE_EXPORTS}


ACTIONS = ("person.created", "person.changed", "person.password-changed", "person.unlocked")


@pytest.mark.submission_rows(4)
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("is_reverse", [False, True])
def test_neither_person_has_changed_the_login_of_the_other(action: str, is_reverse: bool) -> None:
    anna, eva = person("administrator", "anna"), person("administrator", "eva")
    pair = (anna, eva) if is_reverse else (eva, anna)
    change(*pair, 25 * HOUR, action)
    assert reason(eva, anna) == "" or action in ("person.created", "person.password-changed")
    change(*pair, 23 * HOUR, action)
    assert DEPENDENT in reason(eva, anna)
    assert reason(person("administrator", "olli"), anna) == ""


KNOWN = "One of you set the password of the other, or one person set both."


@pytest.mark.parametrize("action", ["person.created", "person.password-changed"])
def test_a_password_that_the_first_person_set_stays_known_to_them(action: str) -> None:
    anna, eva, olli = (person("administrator", name) for name in ("anna", "eva", "olli"))
    change(eva, anna, 900 * HOUR, action)
    change(eva, eva, 800 * HOUR, "person.password-changed")
    assert KNOWN in reason(eva, anna)
    assert KNOWN in reason(anna, eva)
    assert reason(olli, anna) == reason(olli, eva) == ""
    change(olli, eva, 700 * HOUR, action)
    assert KNOWN in reason(olli, anna), "by the login that they took over"


def test_one_person_who_made_both_logins_is_behind_both_unless_it_is_a_superuser() -> None:
    anna, eva, olli = (person("administrator", name) for name in ("anna", "eva", "olli"))
    for made in (eva, olli):
        change(made, anna, 900 * HOUR, "person.created")
    assert KNOWN in reason(eva, olli)
    User.objects.filter(pk=anna.pk).update(is_superuser=True)
    assert reason(eva, olli) == reason(eva, anna) == ""


def test_what_a_superuser_did_with_two_logins_does_not_count() -> None:
    anna, eva, root = person("administrator", "anna"), person("administrator", "eva"), person(name="root")
    change(eva, anna, 900 * HOUR, "person.created")
    change(eva, root, 800 * HOUR, "person.password-changed")
    for changed in (anna, eva):
        change(changed, root, HOUR)
    assert reason(eva, anna) == ""


def test_the_day_is_that_before_the_request_and_waiting_does_not_help() -> None:
    anna, eva = person("administrator", "anna"), person("administrator", "eva")
    change(eva, anna, 60 * HOUR)
    assert reason(eva, anna, asked=30 * HOUR) == ""
    assert DEPENDENT in reason(eva, anna, asked=40 * HOUR)


def test_changes_of_ones_own_and_other_entries_do_not_count() -> None:
    anna, eva = person("administrator", "anna"), person("administrator", "eva")
    for own in (anna, eva):
        change(own, own, HOUR, "person.password-changed")
    change(eva, anna, HOUR, "person.logged-in")
    with transaction.atomic():
        append_entries(NewEntry(f"person:{eva.pk}", "person.unlocked"))
    assert reason(eva, anna) == ""


def take_over_both(anna: User, eva: User, *, through: int) -> None:
    """Let one person set the password of one of both, and that of the other one through a chain of logins."""
    last = person("administrator", "olli")
    change(anna, last, HOUR, "person.password-changed")
    for number in range(through):
        taken = person("administrator", f"taken{number}")
        change(taken, last, HOUR, "person.password-changed")
        last = taken
    change(eva, last, HOUR, "person.password-changed")


@pytest.mark.parametrize("through", [0, 5])
def test_taking_over_two_logins_does_not_make_two_people(through: int) -> None:
    anna, eva = person("administrator", "anna"), person("administrator", "eva")
    take_over_both(anna, eva, through=through)
    assert DEPENDENT in reason(eva, anna)
    assert reason(person("administrator", "liisa"), anna) == ""


def test_a_relevant_change_is_found_among_many_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_person, "_MAX_CHANGES", 3)
    anna, eva, olli = (person("administrator", name) for name in ("anna", "eva", "olli"))
    change(eva, anna, 2 * HOUR)
    for _ in range(3):
        change(olli, anna, HOUR, "person.unlocked")
    assert DEPENDENT in reason(eva, anna)
