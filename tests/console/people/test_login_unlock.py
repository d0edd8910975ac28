"""An administrator sees who tried to log in as a person, and unlocks the login."""

import pytest
from django.test import Client

from logins.attempt_counts import count_failures
from logins.limits import Account, rate_limits_for
from tests.support.people import browser, entries, person
from webhooks.models.rate_limit import RateLimitState

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

PASSWORD = "correct horse battery"


def log_in(address: str, password: str = PASSWORD) -> int:
    form = {"username": "anna", "password": password}
    return Client().post("/admin/login/", form, REMOTE_ADDR=address).status_code


def test_an_administrator_sees_failed_logins_and_unlocks_a_login_for_an_address() -> None:
    anna, client = person("support", "anna"), browser()
    anna.set_password(PASSWORD)
    anna.save()
    count_failures(anna.pk, "192.0.2.7", wrong=3)
    unlock = f"/admin/auth/user/{anna.pk}/unlock/"
    assert 'href="../unlock/"' in client.get(f"/admin/auth/user/{anna.pk}/change/").content.decode()
    assert "192.0.2.7" in client.get(unlock).content.decode()
    for _ in range(10):
        spend(anna.pk)
    assert log_in("198.51.100.1") == 429
    assert "6 minutes" in client.get(unlock).content.decode()
    assert client.post(unlock, {"address": "nowhere"}).status_code == 200
    assert log_in("198.51.100.1") == 429
    assert client.post(unlock, {"address": "198.51.100.1"}).status_code == 302
    assert log_in("198.51.100.1") == 302
    [entry] = entries("person.unlocked")
    assert (entry["stream"], entry["details"]["allowed"]) == (f"person:{anna.pk}", "198.51.100.1")


def spend(person_number: int) -> None:
    """Use one attempt of the limit of an account up."""
    account = Account(person_number, str(person_number))
    [(key, limit)] = rate_limits_for(account, "", is_known=False).items()
    RateLimitState.spend(key, 1, limit, 0)
