"""Sessions: a log-in by a GraphQL mutation whose answer has the token in a header, and one by JSON-RPC."""

from typing import Any

import pytest

from sync.operations.connection_tests import run_test_steps
from tests.peers.hub.configuration import add_connection
from tests.peers.hub.running_hub import HubProcesses
from tests.peers.systems.tryton import DATABASE, Tryton
from tests.peers.systems.vendure import USER_NAME, Vendure

pytestmark = [pytest.mark.peers, pytest.mark.nightly, pytest.mark.concurrent]


def check_connection(
    slug: str, settings_name: str, base_url: str, password: str
) -> dict[str, tuple[Any, str]]:
    """Return the result and the code of each step of the test of a new connection."""
    credentials = {"username": USER_NAME, "password": password}
    steps = run_test_steps(add_connection(slug, settings_name, base_url, credentials))
    return {step.name: (step.is_good, step.code) for step in steps}


def test_vendure_is_read_with_a_session(hub: HubProcesses, vendure: Vendure) -> None:
    vendure.create_customer("session", "Ada", "Lovelace", "session@example.org")
    steps = check_connection("vendure-session", "vendure-identity", vendure.url, vendure.password)
    assert (steps["credentials"], steps["read"]) == ((True, "token-given"), (True, "read"))


def test_a_password_that_vendure_refuses_with_200_is_refused(hub: HubProcesses, vendure: Vendure) -> None:
    steps = check_connection("vendure-session-wrong", "vendure-identity", vendure.url, "wrong")
    assert steps["credentials"] == (False, "identity-credentials")


def test_tryton_is_read_with_a_session(hub: HubProcesses, tryton: Tryton) -> None:
    tryton.create_party("session", "Ada Lovelace", "session@example.org")
    steps = check_connection("tryton-session", "tryton-identity", f"{tryton.url}/{DATABASE}", tryton.password)
    assert (steps["credentials"], steps["read"]) == ((True, "token-given"), (True, "read"))


def test_a_password_that_tryton_refuses_is_refused(hub: HubProcesses, tryton: Tryton) -> None:
    steps = check_connection("tryton-session-wrong", "tryton-identity", f"{tryton.url}/{DATABASE}", "wrong")
    assert steps["credentials"] == (False, "identity-credentials")
