"""A person enters an address before it is verified: whose record changes, under each matching policy of the route."""

import pytest

from sync.models import Route
from sync.planning.record_matching import MatchingPolicy
from tests.browser.conftest import LogIn
from tests.browser.driver.chromium import Browser
from tests.browser.stage.event_page import reveal_values
from tests.browser.stage.profile_page import save_email
from tests.support.builders.held_matches import STRANGER_EMAIL, stranger_record
from tests.support.hub import ANNA, Hub

# With the browser's start it costs more than `make test` has.
pytestmark = pytest.mark.slow


def follow(policy: MatchingPolicy) -> None:
    Route.objects.filter(entity_type="USER").update(matching=policy.value)


def add_person(browser: Browser, hub: Hub, email: str) -> str:
    """Add a person on the page of the identity service. Returns their id."""
    browser.open(f"{hub.identity.url}/users")
    browser.find("details summary").click()
    for name, value in (("given_name", "Mallory"), ("family_name", "Moss"), ("email", email)):
        browser.type(f"[name={name}]", value)
    browser.press("details .primary")
    return browser.address.split("/users/")[1].split("?")[0]


@pytest.mark.parametrize("policy", list(MatchingPolicy))
def test_a_person_with_a_record_changes_it_before_the_address_is_verified(
    browser: Browser, hub: Hub, policy: MatchingPolicy
) -> None:
    follow(policy)
    save_email(browser, hub, "anna.unverified@example.com")
    assert "The shop now uses your new e-mail address, too." in browser.read("[role=status]")
    assert "anna.unverified@example.com is not verified." in browser.text
    assert hub.customer()["email"] == "anna.unverified@example.com"  # type: ignore[index]
    browser.press("form[action$='/verify'] button")
    assert "The shop was already up to date." in browser.read("[role=status]")
    assert hub.customer(ANNA)["email"] == "anna.unverified@example.com"  # type: ignore[index]


@pytest.mark.parametrize("policy", list(MatchingPolicy))
def test_a_person_without_a_record_enters_the_address_of_a_stranger(
    log_in: LogIn, hub: Hub, policy: MatchingPolicy
) -> None:
    follow(policy)
    browser, record = log_in("support"), stranger_record(hub)
    before = [customer for customer in hub.shop.list_records("customers") if str(customer["id"]) == record]
    user = add_person(browser, hub, STRANGER_EMAIL)
    if policy is MatchingPolicy.TRUSTED:
        assert "The shop is up to date, too." in browser.read("[role=status]")
        assert str(hub.customer(user)["id"]) == record  # type: ignore[index]
        return
    after = [customer for customer in hub.shop.list_records("customers") if str(customer["id"]) == record]
    assert after == before, "the stranger's record is unchanged"
    if policy is MatchingPolicy.NEVER:
        assert "already belongs to another customer" in browser.text
        return
    assert "The other systems will be updated shortly." in browser.read("[role=status]")
    browser.press("form[action$='/verify'] button")
    if policy is MatchingPolicy.HOLD:
        choose_record(browser, record)
    hub.wait_until_idle()
    assert str(hub.customer(user)["id"]) == record, "proven, or chosen by a person"  # type: ignore[index]


def choose_record(browser: Browser, record: str) -> None:
    """Link a record on the page of the newest held delivery."""
    browser.open("/admin/sync/delivery/")
    browser.press("main .actions a.button")
    browser.press("[aria-labelledby=matches] a[href$='/record/']")
    assert [browser.overflow(width) for width in (1280, 390, 320)] == [None] * 3
    browser.narrow(1280)
    reveal_values(browser)
    assert f"Record {record}" in browser.read("table.match")
    assert f"{STRANGER_EMAIL} (same)" in browser.read("table.match")
    browser.find(f"[name=choice][value='bind:{record}']").check()
    browser.type("[name=reason]", "She called and named her order")
    browser.press("form[method=post] .primary")
    assert "The record was linked. The delivery continues." in browser.read(".messagelist")
