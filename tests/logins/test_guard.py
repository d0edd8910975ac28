"""Guessing passwords: the limits by account and by address, the bound on hashes, and the count of every attempt."""

from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client, RequestFactory

from logins import attempt_counts, guard, limits
from logins.addresses import network_of
from logins.models import FailedLogins, KnownAddress
from tests.logins.login_clock import LoginClock
from tests.support.people import entries
from webhooks.models.rate_limit import RateLimit, RateLimitState

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
HOME, OFFICE = "198.51.100.1", "198.51.100.2"


@pytest.fixture
def anna(clock: LoginClock) -> User:
    anna = User.objects.create_user("anna", password=PASSWORD, is_staff=True)
    clock.hashed_at.clear()
    return anna


def log_in(password: str = PASSWORD, address: str = HOME, username: str = "anna") -> int:
    """Try to log in; return the status: 302 if the password was right, 200 if it was wrong, 429 unchecked."""
    form = {"username": username, "password": password}
    return Client().post("/admin/login/", form, REMOTE_ADDR=address).status_code


def try_in_turn(clock: LoginClock, number: int, **attempt: Any) -> list[int]:
    """Try so often, a second apart, and return the statuses."""
    statuses = []
    for _ in range(number):
        clock.move(1)
        statuses.append(log_in(**attempt))
    return statuses


def guess(clock: LoginClock, number_of_guesses: int, addresses: int, username: str) -> None:
    """Guess fifty times a second, from so many addresses in turn. Without the pages, which take most of the time."""
    for number in range(number_of_guesses):
        clock.move(0.02)
        place = number % addresses
        request = RequestFactory().post("/", REMOTE_ADDR=f"203.0.{place // 250}.{place % 250}")
        authenticate(request, username=username.format(number), password=f"wrong {number}")


def counted_attempts() -> int:
    attempt_counts.refused_attempts.flush()
    return sum(row.times for row in FailedLogins.objects.all())


THOUSAND = [(1_000, 1, "anna"), (1_000, 1_000, "anna"), (1_000, 1_000, "name{}")]


@pytest.mark.parametrize(
    ("guesses", "addresses", "username"),
    [
        (250, 1_000, "anna"),
        pytest.param(60, 1_000, "name{}", marks=pytest.mark.submission),
        *(pytest.param(*row, marks=pytest.mark.nightly) for row in THOUSAND),
    ],
)
def test_many_guesses_are_bounded_and_counted_and_keep_no_person_out(
    anna: User, clock: LoginClock, guesses: int, addresses: int, username: str
) -> None:
    assert log_in() == 302
    guess(clock, guesses, addresses, username)
    assert clock.most_hashes_in_a_second() <= 10
    assert counted_attempts() == guesses
    assert FailedLogins.objects.count() <= 201
    assert len(entries("person.login-failed")) == FailedLogins.objects.count()
    assert log_in("wrong") == 200
    clock.move(1)
    assert log_in() == 302
    # A bound on the guesses themselves: ten at the account, four a second at all names, and three logins above.
    expected = 10 if username == "anna" else 20 * 4 + 4
    assert len(clock.hashed_at) <= expected + 4


def test_twenty_wrong_passwords_then_the_right_one_do_not_get_in(anna: User, clock: LoginClock) -> None:
    assert try_in_turn(clock, 20, password="wrong") == [200] * 10 + [429] * 10
    assert log_in() == 429
    assert len(clock.hashed_at) == 10
    assert counted_attempts() == 21


def test_the_right_password_gets_in_again_after_the_wait_that_the_page_names(
    anna: User, clock: LoginClock
) -> None:
    try_in_turn(clock, 10, password="wrong")
    answer = Client().post("/admin/login/", {"username": "anna", "password": PASSWORD}, REMOTE_ADDR=HOME)
    assert "6 minutes" in answer.content.decode()
    assert 300 < int(answer["Retry-After"]) <= 360
    clock.move(float(answer["Retry-After"]) - 20)
    assert log_in() == 429
    clock.move(20)
    assert log_in() == 302


def test_a_name_that_no_account_has_is_limited_and_hashed_in_the_same_way(
    anna: User, clock: LoginClock
) -> None:
    known = try_in_turn(clock, 12, password="wrong")
    hashes = len(clock.hashed_at)
    assert try_in_turn(clock, 12, password="wrong", username="nobody", address=OFFICE) == known
    assert len(clock.hashed_at) == 2 * hashes


def test_strangers_do_not_lock_an_address_out_from_which_the_person_logged_in(
    anna: User, clock: LoginClock
) -> None:
    assert log_in(address=HOME) == 302
    try_in_turn(clock, 30, password="wrong", address="203.0.113.9")
    assert log_in(address=OFFICE) == 429
    assert log_in(address=HOME) == 302
    call_command("unlock_login", "anna")
    assert try_in_turn(clock, 15, password="wrong") == [200] * 10 + [429] * 5, "it has its own limit"
    assert log_in(address=OFFICE) == 302
    call_command("unlock_login", "anna", address=OFFICE)
    try_in_turn(clock, 12, password="wrong", address="203.0.113.9")
    assert log_in(address=OFFICE) == 302


def test_an_ipv6_network_is_one_address(anna: User, clock: LoginClock) -> None:
    assert log_in(address="2001:db8::1") == 302
    try_in_turn(clock, 11, password="wrong", address="203.0.113.9")
    assert log_in(address="2001:db8::ffff:2") == 302
    assert log_in(address="2001:db8:0:1::1") == 429


def test_an_address_that_tries_many_accounts_is_limited(anna: User, clock: LoginClock) -> None:
    statuses = [try_in_turn(clock, 1, username=f"name{number}")[0] for number in range(25)]
    assert statuses == [200] * 20 + [429] * 5
    assert log_in(address=OFFICE) == 302


@pytest.mark.submission
def test_logins_that_succeed_use_no_limit_up(anna: User, clock: LoginClock) -> None:
    assert try_in_turn(clock, 40) == [302] * 40


def test_a_client_without_an_address_is_limited_by_account_alone(anna: User, clock: LoginClock) -> None:
    assert log_in(address="") == 302
    assert not KnownAddress.objects.exists()
    assert try_in_turn(clock, 12, password="wrong", address="")[-2:] == [429, 429]


@pytest.mark.submission
def test_clients_without_a_readable_address_share_one_limit_behind_a_proxy(
    clock: LoginClock, settings: Any
) -> None:
    settings.TRUSTED_PROXIES = 1
    statuses = []
    for number in range(25):
        clock.move(1)
        form = {"username": f"nobody {number}", "password": "wrong"}
        answer = Client().post("/admin/login/", form, headers={"X-Forwarded-For": f"unknown-{number}"})
        statuses.append(answer.status_code)
    assert statuses == [200] * 20 + [429] * 5


@pytest.mark.submission
def test_guesses_on_the_password_change_page_are_limited_like_logins(anna: User, clock: LoginClock) -> None:
    client = Client()
    client.force_login(anna)
    new = {"new_password1": "a staple that is new", "new_password2": "a staple that is new"}

    def change(old: str) -> Any:
        clock.move(1)
        return client.post("/admin/password_change/", new | {"old_password": old}, REMOTE_ADDR=OFFICE)

    wrong = [change(f"wrong {number}").content.decode() for number in range(12)]
    assert ["old password was entered incorrectly" in page for page in wrong] == [True] * 10 + [False] * 2
    assert "Too many failed logins" in change(PASSWORD).content.decode()
    assert log_in(address=HOME) == 429
    assert counted_attempts() == 14
    clock.move(400)
    assert change(PASSWORD).status_code == 302


def test_the_number_of_concurrent_password_checks_is_limited(anna: User, clock: LoginClock) -> None:
    assert log_in(address=HOME) == 302
    strangers = [guard._slots.acquire(blocking=False) for _ in range(guard.MAX_CHECKS)]
    try:
        assert all(strangers)
        assert log_in(address=OFFICE) == 429
        assert log_in(address=HOME) == 302
    finally:
        for _ in strangers:
            guard._slots.release()


@pytest.mark.submission
def test_while_all_strangers_have_to_wait_no_address_of_theirs_costs_a_statement(
    anna: User, clock: LoginClock, django_assert_num_queries: Any
) -> None:
    assert log_in(address=HOME) == 302
    User.objects.create_user("bo", password=PASSWORD, is_staff=True)
    try_in_turn(clock, 11, password="wrong", address=OFFICE)
    with django_assert_num_queries(0):
        assert log_in(address=OFFICE) == 429
        assert [log_in(address=f"203.0.113.{number}") for number in range(20)] == [429] * 20
    assert log_in(address=HOME) == log_in(username="bo", address="203.0.113.77") == 302
    assert counted_attempts() == 32


def test_refused_attempts_add_no_rows_to_the_limits(anna: User, clock: LoginClock) -> None:
    try_in_turn(clock, 10, password="wrong")
    before = set(RateLimitState.objects.values_list("key", "free_at"))
    for number in range(20):
        log_in("wrong", f"203.0.113.{number}")
    assert set(RateLimitState.objects.values_list("key", "free_at")) == before


def test_the_limit_of_checks_leaves_the_other_limits_as_they_were(
    anna: User, clock: LoginClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHECK_LIMIT", RateLimit(0.1, 1))
    assert [log_in("wrong"), log_in("wrong")] == [200, 429]
    clock.move(3600)
    monkeypatch.setattr(limits, "CHECK_LIMIT", replace(limits.CHECK_LIMIT, burst=100))
    assert try_in_turn(clock, 10, password="wrong") == [200] * 10


def test_an_unlocked_login_works_at_once_and_is_recorded(anna: User, clock: LoginClock) -> None:
    try_in_turn(clock, 11, password="wrong", address="203.0.113.9")
    assert log_in() == 429
    call_command("unlock_login", "anna")
    assert log_in() == 302
    [entry] = entries("person.unlocked")
    assert (entry["stream"], entry["details"]) == (f"person:{anna.pk}", {"allowed": ""})


@pytest.mark.parametrize("arguments", [("anna", "--address=home"), ("nobody",)])
def test_an_invalid_unlock_argument_is_named(anna: User, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match=arguments[-1].removeprefix("--address=")):
        call_command("unlock_login", *arguments)


def test_an_ipv6_address_counts_as_its_network() -> None:
    networks = {
        "192.0.2.7": "192.0.2.7",
        "2001:db8:1:2:ffff:4:5:6": "2001:db8:1:2::/64",
        "::ffff:192.0.2.7": "192.0.2.7",
        "fe80::1%eth0": "fe80::/64",
        "": "",
        "unix:": "",
        "hunter2": "",
    }
    assert {address: network_of(address) for address in networks} == networks
