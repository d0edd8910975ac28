"""Refused requests: their sender, reason and number."""

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console.requests.admin import REFUSAL_CODES
from sync.statistics.periodic_recount import recount_stale_hours
from tests.support.builders.history import NOON, a_source, logged_in
from webhooks.catalogue.codes import CATALOGUE
from webhooks.models import Refusal

pytestmark = pytest.mark.django_db
LIST = "/admin/webhooks/refusal/"


def a_refusal(code: str = "bad-signature", slug: str | None = "aurora", times: int = 1) -> Refusal:
    return Refusal.objects.create(
        source=a_source(slug) if slug else None,
        code=code,
        address="192.0.2.7",
        size=96,
        bucket=f"{slug}|{code}",
        first_at=NOON,
        last_at=NOON,
        times=times,
    )


def codes(client: Client, query: str = "") -> list[str]:
    return [refusal.code for refusal in client.get(LIST + query).context["cl"].result_list]


def test_a_refusal_is_listed_with_source_words_address_size_and_times() -> None:
    a_refusal(times=37)
    text = logged_in("support").get(LIST).content.decode()
    for shown in ("Aurora", "The sender could not be verified", "192.0.2.7", "96 bytes", "37"):
        assert shown in text


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?code=bad-signature", ["bad-signature"]),
        ("?source=other", ["not-json"]),
        ("?source=aurora&code=not-json", []),
        ("", ["unknown-source", "not-json", "bad-signature"]),
    ],
)
def test_refusals_are_filtered_by_source_and_code(query: str, expected: list[str]) -> None:
    a_refusal("bad-signature")
    a_refusal("not-json", "other")
    a_refusal("unknown-source", None)
    assert codes(logged_in("auditor"), query) == expected


def test_every_code_of_a_refused_request_can_be_chosen() -> None:
    assert {code for code, entry in CATALOGUE.items() if entry.owner == "sender"} <= set(REFUSAL_CODES)
    assert "source-disabled" in REFUSAL_CODES
    assert "target-rejected" not in REFUSAL_CODES


def test_a_refusal_is_read_only_and_hidden_without_permission() -> None:
    row = a_refusal()
    support = logged_in("support")
    assert support.get(f"{LIST}{row.pk}/change/").status_code == 200
    assert "must compare the secrets" in support.get(f"{LIST}{row.pk}/change/").content.decode()
    assert support.post(f"{LIST}{row.pk}/change/", {"times": 5}).status_code == 405
    assert support.get(f"{LIST}{row.pk}0/change/").status_code == 404
    assert support.get(f"{LIST}{row.pk}/delete/").status_code == 403
    assert support.get(f"{LIST}add/").status_code == 403
    assert logged_in().get(LIST).status_code == 403


def test_the_bad_signatures_of_a_source_link_to_exactly_its_refusals() -> None:
    row = a_refusal()
    a_refusal("bad-signature", "other")
    now = timezone.now()
    Refusal.objects.update(first_at=now, last_at=now)
    recount_stale_hours(seconds=60.0)
    support = logged_in("support")
    of = row.source
    assert of is not None
    for page in ("/admin/webhooks/source/", f"/admin/webhooks/source/{of.pk}/change/"):
        [link] = re.findall(rf'href="{LIST}([^"]*source={of.slug})"', support.get(page).content.decode())
        rows = support.get(LIST + link.replace("&amp;", "&")).context["cl"].result_list
        assert [refusal.source for refusal in rows] == [of]


@pytest.mark.parametrize(("query", "told"), [("", "No refused requests."), ("?code=not-json", "match these")])
def test_an_empty_list_explains_itself(query: str, told: str) -> None:
    page = logged_in("support").get(LIST + query).content.decode()
    assert told in page
    assert ("Show all" in page) is bool(query)


def test_a_filter_shows_its_value_and_can_be_cleared() -> None:
    a_refusal()
    page = logged_in("support").get(f"{LIST}?code=bad-signature").content.decode()
    assert "Reason: <strong>The sender could not be verified</strong>" in page
    assert '<a href="?">Clear “Reason”</a>' in page


def test_the_list_costs_the_same_for_one_row_and_for_forty() -> None:
    client = logged_in("support")
    a_refusal("code-0")
    with CaptureQueriesContext(connection) as one:
        codes(client)
    for number in range(1, 40):
        a_refusal(f"code-{number}", f"source-{number}")
    with CaptureQueriesContext(connection) as forty:
        codes(client)
    assert len(forty) == len(one) <= 8
