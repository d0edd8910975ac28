"""The audit log blames the right person: the name that is shown for a number neither changes nor passes to another."""

import unicodedata
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import Client

from logins.models import HeldPermission, UsedUsername
from tests.support.pages import text_of
from tests.support.people import browser, entries, person
from tests.support.rows import in_submission

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

PEOPLE, LOG = "/admin/auth/user/", "/admin/audit/entry/"
PASSWORD = {"password1": "a staple that is new", "password2": "a staple that is new"}


def logged_in(name: str, role: str = "support") -> User:
    """Return a person who has logged in once."""
    found = person(role, name)
    Client().force_login(found)
    found.refresh_from_db()
    found.save()  # `person` sends no signals.
    return found


def rename(client: Client, renamed: User, username: str, **flags: Any) -> Any:
    form = {"username": username, "is_active": "on", "is_staff": "on"} | flags
    form["groups"] = list(renamed.groups.values_list("pk", flat=True))
    return client.post(f"{PEOPLE}{renamed.pk}/change/", form)


def name_of(renamed: User) -> str:
    return User.objects.get(pk=renamed.pk).username


def erase(client: Client, erased: User) -> None:
    """Disable the login and erase its username, in two steps as a person does."""
    form: dict[str, Any] = {"is_staff": "on", "groups": list(erased.groups.values_list("pk", flat=True))}
    for username in (erased.username, f"former-{erased.pk}"):
        page = client.post(f"{PEOPLE}{erased.pk}/change/", form | {"username": username})
        assert page.status_code == 302


@pytest.mark.parametrize(
    ("username", "is_refused"),
    [
        ("\N{CYRILLIC SMALL LETTER A}nna", True),
        ("ann\N{GREEK SMALL LETTER ALPHA}", True),
        ("\N{FULLWIDTH LATIN SMALL LETTER A}nna.l", False),
        ("\N{CYRILLIC SMALL LETTER A}\N{CYRILLIC SMALL LETTER EN}", False),
        ("anna-ä.lööf+1@x_2", False),
        ("\N{CJK UNIFIED IDEOGRAPH-5C71}\N{KATAKANA LETTER NO}\N{HIRAGANA LETTER NO}", False),
    ],
)
def test_a_name_of_letters_that_look_like_those_of_another_script_is_refused(
    username: str, is_refused: bool
) -> None:
    new = User(username=username)
    if not is_refused:
        new.save()
        return
    with pytest.raises(ValidationError, match="letters of one script"):
        new.save()
    form = {"username": username} | PASSWORD
    assert "letters of one script" in text_of(browser("", "root").post(f"{PEOPLE}add/", form))


def test_a_name_that_looks_like_a_used_one_is_refused_in_either_order() -> None:
    """Whole names of Cyrillic, Greek or Armenian letters; one with a letter of its own is no other's name."""
    for known, alike in (
        ("coco", "сосо"),
        ("Веа", "Bea"),
        ("HANNA", "ΗΑΝΝΑ"),
        ("ouh", "օսհ"),
        ("сор", "cop"),
    ):
        User(username=known).save()
        with pytest.raises(ValidationError, match="looks the same"):
            User(username=alike).save()
    for other in ("соцо", "Ωρα"):
        User(username=other).save()


@pytest.mark.parametrize("role", ["administrator", ""])
def test_two_people_do_not_exchange_their_names(role: str) -> None:
    anna, eva, client = logged_in("anna"), logged_in("eva"), browser(role, "root")
    for renamed, name in ((anna, "between"), (eva, "anna"), (anna, "eva")):
        rename(client, renamed, name)
        renamed.username = name
        with pytest.raises(ValidationError):
            renamed.save()
    own = User.objects.get(username="root")
    rename(client, own, "anna")
    assert [name_of(one) for one in (anna, eva, own)] == ["anna", "eva", "root"]
    assert not [entry for entry in entries("person.changed") if "username" in entry["details"]["changed"]]


def test_a_username_is_corrected_before_the_first_login_and_is_free_again() -> None:
    anna, client = person("support", "ana"), browser()
    assert rename(client, anna, "anna").status_code == 302
    assert name_of(anna) == "anna"
    assert client.post(f"{PEOPLE}add/", {"username": "ana", **PASSWORD}).status_code == 302


@pytest.mark.parametrize(
    "username", in_submission(["other", "former-0", "FORMER-{pk}", "former-{pk}x", ""], but=["former-0"])
)
def test_the_name_of_a_former_person_is_erased_and_not_replaced(username: str) -> None:
    anna, client = logged_in("anna"), browser()
    for typed in (username.format(pk=anna.pk), f"former-{anna.pk}"):
        rename(client, anna, typed)
        anna.username = typed
        with pytest.raises(ValidationError):
            anna.save()
        assert name_of(anna) == "anna", "the login is not disabled"
    User.objects.filter(pk=anna.pk).update(is_active=False)
    rename(client, anna, username.format(pk=anna.pk), is_active="")
    assert name_of(anna) == "anna"


SPELLINGS = ("anna.ä", "ANNA.Ä", unicodedata.normalize("NFD", "anna.ä"))


def test_an_erased_username_is_kept_as_a_digest_and_refused_in_every_spelling() -> None:
    anna, eva, client = logged_in("anna.ä"), person("support", "eva"), browser()
    erase(client, anna)
    assert name_of(anna) == f"former-{anna.pk}"
    assert "anna" not in "".join(UsedUsername.objects.values_list("digest", flat=True))
    client.get(LOG)  # has the messages about the changes
    page = text_of(client.get(LOG))
    assert f"former-{anna.pk}" in page
    assert "anna" not in page
    for username in SPELLINGS:
        answer = client.post(f"{PEOPLE}add/", {"username": username, **PASSWORD})
        assert "never used again" in text_of(answer)
        assert rename(client, eva, username).status_code == 200
        assert rename(client, anna, username, is_active="").status_code == 200
        with pytest.raises(CommandError):
            call_command("createsuperuser", username=username, email="a@example.com", interactive=False)
    assert name_of(eva) == "eva"
    assert not User.objects.filter(username__istartswith="anna").exists()


def test_no_login_has_a_name_like_that_of_a_former_person() -> None:
    client = browser()
    answer = client.post(f"{PEOPLE}add/", {"username": "former-1", **PASSWORD})
    assert "names were erased" in text_of(answer)
    with pytest.raises(ValidationError):
        User.objects.create_user("Former-77")


def test_the_name_of_a_login_that_was_deleted_in_the_database_is_refused() -> None:
    """The log names its number then, and no new login takes its name."""
    anna, client = logged_in("anna"), browser()
    held = HeldPermission.objects.filter(person=anna)
    for rows in (anna.groups.through.objects.filter(user=anna.pk), held, User.objects.filter(pk=anna.pk)):
        rows._raw_delete("default")  # type: ignore[attr-defined]
    assert client.post(f"{PEOPLE}add/", {"username": "Anna", **PASSWORD}).status_code == 200
    assert not User.objects.filter(username__iexact="anna").exists()
    page = text_of(client.get(LOG))
    assert f"person {anna.pk}, deleted" in page
