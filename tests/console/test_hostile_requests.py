"""No page of the console fails or costs much, whatever its address and its forms say (I25).

The addresses come from the site's URLs, and the parameters from the pages themselves. The seed is printed; set
HUB_FUZZ_SEED to repeat a run.
"""

import os
import random
import re
import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.support.builders.console_rows import rows
from tests.support.hostile.requests import (
    ODD_TEXTS,
    forms_of_page,
    odd_addresses,
    odd_queries,
    plain_addresses,
    words_of_page,
)

pytestmark = pytest.mark.django_db

SEED = os.environ.get("HUB_FUZZ_SEED", "25")
MAX_STATEMENTS = 120
MAX_CPU_SECONDS = 1.0
# Of one page, and of one form.
MAX_ATTEMPTS = 12
MAX_FIELDS = 3


@pytest.fixture
def seed() -> random.Random:
    print(f"HUB_FUZZ_SEED={SEED}")
    return random.Random(SEED)


@pytest.fixture
def root() -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(rows()["superuser"])
    return client


def cost_of(client: Client, method: str, address: str, fields: Any = None) -> str:
    """Send a request. Returns what is wrong with the response, empty if nothing is."""
    began = time.process_time()
    with CaptureQueriesContext(connection) as statements:
        answer = getattr(client, method)(address, fields)
        if answer.streaming:
            answer.getvalue()
    seconds = time.process_time() - began
    wrong = [f"status {answer.status_code}"] if answer.status_code >= 500 else []
    wrong += [f"{len(statements)} statements"] if len(statements) > MAX_STATEMENTS else []
    wrong += [f"{seconds:.1f} s"] if seconds > MAX_CPU_SECONDS else []
    return f"{method} {address[:200]} {str(fields)[:300] if fields else ''}: {wrong}" if wrong else ""


@pytest.mark.nightly
def test_an_address_with_an_invalid_key_is_not_found(root: Client) -> None:
    wrong = [cost_of(root, method, address) for address in odd_addresses() for method in ("get", "post")]
    assert not "\n".join(filter(None, wrong))


@pytest.mark.nightly
def test_a_query_of_known_parameters_is_cheap(root: Client, seed: random.Random) -> None:
    wrong, tried = [], 0
    for address in plain_addresses():
        answer = root.get(address)
        if answer.status_code != 200 or answer.streaming:
            continue
        queries = list(odd_queries(words_of_page(answer.content.decode()), seed, 10))
        for query in seed.sample(queries, min(len(queries), MAX_ATTEMPTS)):
            wrong.append(cost_of(root, "get", f"{address}?{query}"))
            tried += 1
    assert tried > 100
    assert not "\n".join(filter(None, wrong))


@pytest.mark.nightly
def test_a_form_with_unusual_values_is_refused_or_accepted(root: Client, seed: random.Random) -> None:
    wrong, tried = [], 0
    for address in pages(root):
        answer = root.get(address)
        if answer.status_code != 200 or answer.streaming:
            continue
        for action, fields in forms_of_page(answer.content.decode()):
            if "logout" in action:
                continue
            for name in seed.sample(sorted(fields), min(len(fields), MAX_FIELDS)):
                odd = seed.choice(ODD_TEXTS).encode("utf-8", "replace").decode()
                wrong.append(cost_of(root, "post", action or address, {**fields, name: odd}))
                tried += 1
    assert tried > 50
    assert not "\n".join(filter(None, wrong))


def pages(client: Client) -> list[str]:
    """Return the addresses of all lists and of what they link to."""
    addresses = dict.fromkeys(plain_addresses())
    for address in list(addresses):
        answer = client.get(address)
        if answer.status_code == 200 and not answer.streaming:
            for link in re.findall(r'href="(/admin/[^"?#]+/)"', answer.content.decode()):
                addresses.setdefault(link)
    return [address for address in addresses if "logout" not in address]


EVENTS = "/admin/webhooks/event/"
REPEATED = ",".join(["dead", "held", "succeeded"] * 400)


@pytest.mark.promise("I25")
def test_repeated_states_cost_one_statement_each(root: Client) -> None:
    for states in (
        REPEATED,
        REPEATED[:399],
        "a," * 2_000,
        "a," * 190,
        "dead,dead",
        "dead,unknown",
        ",",
        "dead,",
    ):
        assert statements_of(root, f"{EVENTS}?state={states}") <= 40, states


def statements_of(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as statements:
        assert client.get(address).status_code < 500
    return len(statements)


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize("key", ["99999999999999999999", "-9223372036854775809", "9" * 400])
def test_a_form_refuses_a_key_that_no_column_holds(root: Client, key: str) -> None:
    fields = {"username": "colleague", "groups": [key], "is_active": "on"}
    address = f"/admin/auth/user/{User.objects.get(username='colleague').pk}/change/"
    answer = root.post(address, fields)
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors


LISTS = ("/admin/auth/user/", "/admin/webhooks/event/", "/admin/sync/connection/", "/admin/webhooks/source/")


@pytest.mark.submission_rows(2)
@pytest.mark.promise("T28")
@pytest.mark.parametrize("address", LISTS)
def test_no_parameter_of_a_list_is_a_lookup_of_the_database(root: Client, address: str) -> None:
    """A prefix that fits and one that does not would tell a stored value apart, letter by letter."""
    lookups = (
        "password__startswith",
        "secrets__value__startswith",
        "credentials__startswith",
        "pk__in",
        "_to_field",
    )
    for lookup in lookups:
        answers = [root.get(address, {lookup: value}) for value in ("md5", "zzz")]
        statuses = [answer.status_code for answer in answers]
        assert statuses in ([200, 200], [302, 302], [400, 400]), lookup
        if statuses == [302, 302]:
            assert answers[0]["Location"] == answers[1]["Location"].replace("zzz", "md5")
        if statuses == [200, 200]:
            first, second = (
                re.sub(r'csrfmiddlewaretoken" value="\w+"', "", answer.content.decode()) for answer in answers
            )
            assert first.replace("md5", "") == second.replace("zzz", ""), lookup
