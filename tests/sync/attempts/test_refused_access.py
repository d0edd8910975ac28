"""A refusal concerns the data, one record or all that the credentials may do: other records are read to find out."""

from typing import Any

import pytest

from sync.models import Connection, MappingVersion
from tests.support.circuit_breakers import ENOUGH_FAILURES, breaker, cautious_breakers, create_people, is_open
from tests.support.hub import ANNA, Hub

UNREADABLE = "-----BEGIN CERTIFICATE----- MIIBszCCAVmgAwIBAgIU -----END CERTIFICATE-----"


def post_update(hub: Hub, user: str = ANNA) -> tuple[int, dict[str, Any]]:
    answer = hub.post_signed({"id": user, "entityType": "USER", "eventType": "UPDATE"})
    return answer.status_code, answer.json()


def link_everybody(hub: Hub, *users: str) -> None:
    """Deliver a first webhook of each user."""
    for user in (ANNA, *users):
        assert post_update(hub, user)[0] == 200


def forbid_records(hub: Hub, users: list[str]) -> None:
    """Let the shop answer 403 for the records of these users, as a system that hides what is absent."""
    for user in users:
        record = hub.customer(user)
        assert record is not None
        hub.shop.faults.add("error", status=403, path=f"/api/customers/{record['id']}$")


def test_single_forbidden_records_do_not_pause_the_connection(hub: Hub) -> None:
    users = create_people(hub, ENOUGH_FAILURES + 2)
    link_everybody(hub, *users)
    forbid_records(hub, users)
    with cautious_breakers():
        for user in users:
            status, document = post_update(hub, user)
            assert (status, document["code"], document["retrying"]) == (424, "target-forbidden", True)
        assert not is_open()
        assert post_update(hub)[0] == 200


def test_a_system_that_forbids_everything_is_paused(hub: Hub) -> None:
    users = create_people(hub, ENOUGH_FAILURES)
    link_everybody(hub, *users)
    hub.shop.faults.add("error", status=403)
    with cautious_breakers():
        for user in users:
            assert post_update(hub, user)[1]["code"] == "target-credentials"
        assert is_open()


def test_a_single_forbidden_entity_is_reported_as_forbidden(hub: Hub) -> None:
    link_everybody(hub, *create_people(hub, 1))
    hub.identity.faults.add("error", status=403, path=f"/api/users/{ANNA}")
    with cautious_breakers():
        assert post_update(hub)[1]["code"] == "identity-forbidden"
        assert breaker() is None or breaker().failures == 0


@pytest.mark.parametrize(
    ("status", "code"), [(400, "target-credentials"), (404, "target-garbled"), (404, "target-credentials")]
)
def test_wrong_credentials_that_are_answered_otherwise_are_no_fault_of_the_person(
    hub: Hub, status: int, code: str
) -> None:
    """The shop answers so to everything; a search that is answered 404 shows a wrong path as well."""
    sentence = "Token shop-token is not known here."
    if code == "target-credentials" and status == 404:
        _match_nothing()
    hub.shop.faults.add(
        "refuse", status=status, sentence=sentence, methods=["GET", "POST", "PATCH"], path="/api/"
    )
    answer_status, document = post_update(hub)
    assert (answer_status, document["code"]) == (424, code)
    assert sentence not in str(document)


def test_refused_data_is_reported_to_the_person(hub: Hub) -> None:
    link_everybody(hub)
    hub.change_email("anna.refused@example.com")
    hub.shop.faults.add("refuse", status=400, sentence="This address is taken.", field="email")
    answer_status, document = post_update(hub)
    assert (answer_status, document["code"]) == (422, "target-rejected")
    assert document["detail"] == "This address is taken."


def test_a_field_without_a_value_is_the_fault_of_the_mapping(hub: Hub) -> None:
    link_everybody(hub)
    hub.identity.directory.update_record("users", ANNA, {"mobiles": []}, replaces=False)
    hub.shop.faults.add("refuse", sentence="Enter a phone number.", field="phone", methods=["PATCH"])
    answer_status, document = post_update(hub)
    assert (answer_status, document["code"]) == (422, "target-missing-value")
    assert document["errors"][0]["field"] == "phone"


def test_a_sentence_about_credentials_is_not_relayed(hub: Hub) -> None:
    hub.shop.faults.add("refuse", status=401, sentence="Token shop-token has expired.", methods=["GET"])
    status, document = post_update(hub)
    assert (status, document["code"]) == (424, "target-credentials")
    assert "expired" not in str(document)


def _match_nothing() -> None:
    """Let the mapping create records without a search."""
    version = MappingVersion.objects.get(mapping__name="Person to customer")
    version.declaration["match"] = {}
    MappingVersion.objects.filter(pk=version.pk).update(declaration=version.declaration)


def with_unreadable_certificates(stored: Connection) -> dict[str, Any]:
    """Return what makes a connection unusable, as if it was changed in the database."""
    address = stored.base_url.replace("http:", "https:")
    return {"base_url": address, "settings": stored.settings | {"ca": UNREADABLE}}


@pytest.mark.parametrize(
    ("side", "spoil", "code"),
    [
        ("target", with_unreadable_certificates, "target-unavailable"),
        ("identity", with_unreadable_certificates, "identity-unavailable"),
        ("target", lambda _: {"credentials": None}, "target-credentials"),
    ],
)
def test_an_unusable_connection_fails_with_its_own_code(hub: Hub, side: str, spoil: Any, code: str) -> None:
    Connection.objects.filter(side=side).update(**spoil(Connection.objects.get(side=side)))
    status, document = post_update(hub)
    assert (status, document["code"], document["retrying"]) == (424, code, True)
    assert hub.writes() == []
