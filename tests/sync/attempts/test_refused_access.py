"""A refusal concerns the data, one record or all that the credentials may do: other records are read to find out."""

from collections.abc import Iterator
from typing import Any

import pytest

from connectors.check import CheckStep
from sync.mappings.configuration_gaps import absence_warnings
from sync.models import Connection, MappingVersion, Route
from sync.operations import connection_tests
from tests.support.circuit_breakers import ENOUGH_FAILURES, breaker, cautious_breakers, create_people, is_open
from tests.support.connections import change_connection
from tests.support.http.connectors import make_operations
from tests.support.http.servers import Reply, SeenRequest, serving
from tests.support.hub import ANNA, Hub

pytestmark = pytest.mark.concurrent
TOKEN = "s3cret-token"

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


@pytest.mark.submission
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


@pytest.mark.submission_rows(2)
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


class SilentStore:
    """A store that treats an unknown token as a visitor, as PocketBase does: lists are empty, records are not found, and
    a creation is rejected like wrong data.
    """

    token = TOKEN

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Any]] = {}

    def answer(self, seen: SeenRequest) -> Reply:
        is_known = seen.headers.get("authorization") == f"Bearer {self.token}"
        key = seen.path.removeprefix("/records").strip("/")
        if key:
            return Reply(200, self.records[key]) if is_known and key in self.records else Reply(404, {})
        if seen.method == "GET":
            return Reply(200, {"items": list(self.records.values()) if is_known else []})
        if not is_known or "bad" in str(seen.json()):
            return Reply(400, {"message": "Failed to create record."})
        key = str(len(self.records) + 1)
        self.records[key] = {"id": key, **seen.json()}
        return Reply(200, self.records[key])


@pytest.fixture
def store(hub: Hub) -> Iterator[SilentStore]:
    """Return a store that the hub delivers to."""
    made = SilentStore()
    listed = {"path": "/records", "result": "items"}
    with serving(made.answer) as service:
        connection = Connection.objects.get(slug="shop")
        connection.base_url, connection.credentials = service.url, {"token": TOKEN}
        connection.settings = {"entities": {"USER": make_operations("/records", list=listed)}}
        connection.full_clean()
        connection.save()
        _match_nothing()
        yield made
        hub.wait_until_idle()
        hub.wait_until_quiet()


def test_a_creation_is_rejected_only_while_a_linked_record_can_be_read(hub: Hub, store: SilentStore) -> None:
    """A system that ignores a token that it does not know rejects a creation as if the data were wrong: the person who
    saved cannot mend that, and the delivery must not end for good.
    """
    users = create_people(hub, 3)
    link_everybody(hub, users[0])
    hub.change_email("bad@example.com", users[1])
    status, document = post_update(hub, users[1])
    assert (status, document["code"], document["retrying"]) == (422, "target-rejected", False)
    store.token = "another"
    status, document = post_update(hub, users[2])
    assert (status, document["code"], document["retrying"]) == (424, "target-credentials", True)
    assert "Failed to create" not in str(document)


def test_the_first_creation_of_all_is_rejected_by_its_status(hub: Hub, store: SilentStore) -> None:
    hub.change_email("bad@example.com")
    assert post_update(hub)[1]["code"] == "target-rejected"


def run_test(connection: Connection) -> tuple[str, tuple[CheckStep, ...]]:
    """Test a connection. Returns the result of all steps, and the steps."""
    steps = connection_tests.run_test_steps(connection)
    return str(connection_tests.store_steps(connection, steps)), steps


def test_the_test_of_a_connection_reads_a_linked_record(hub: Hub, store: SilentStore) -> None:
    """Every list of a system that ignores the token looks right."""
    connection = Connection.objects.get(slug="shop")
    result, steps = run_test(connection)
    assert (result, "linked" in steps[3].facts) == ("warned", False), "nothing is linked yet"
    link_everybody(hub, *create_people(hub, 3))
    # The newest was deleted by somebody: the test reads another one.
    store.records.pop("4")
    result, steps = run_test(connection)
    assert (result, steps[3].code, steps[3].facts["linked"]) == ("warned", "read", 3)
    # All linked ones were deleted, and others can be read: these are known credentials.
    linked = dict(store.records)
    store.records = {"9": {"id": "9", "external_id": "another"}}
    result, steps = run_test(connection)
    assert (result, steps[3].is_good, steps[3].code) == ("warned", True, "linked-missing")
    store.records = linked
    store.token = "another"
    result, steps = run_test(connection)
    assert (result, steps[3].is_good, steps[3].code) == ("failed", False, "linked-unread")
    assert steps[3].facts["status"] == 404


def test_a_linked_record_proves_the_credentials_without_a_list(hub: Hub, store: SilentStore) -> None:
    connection = Connection.objects.get(slug="shop")
    del connection.settings["entities"]["USER"]["operations"]["list"]
    connection.save()
    assert run_test(connection)[1][3].code == "read-unproved"
    link_everybody(hub)
    credentials, read = run_test(connection)[1][2:4]
    assert (read.code, read.is_good, credentials.is_good) == ("linked-read", True, True)


def test_a_type_whose_deletions_nothing_proves_is_told(hub: Hub, store: SilentStore) -> None:
    """Without a list or a probe, the deletion of the last known group would wait for ever."""
    connection, route = (
        Connection.objects.get(slug="aurora"),
        Route.objects.get(entity_type="GROUP", source__slug="aurora"),
    )
    group = connection.settings["entities"]["GROUP"]

    def find_absences() -> list[str]:
        findings = run_test(connection)[1][4].facts["findings"]
        return [finding["entity_type"] for finding in findings if finding["permission"] == "absence"]

    assert (find_absences(), absence_warnings(route)) == ([], [])
    group.pop("list")
    connection.save()
    route.refresh_from_db()
    assert find_absences() == ["GROUP"]
    (warning,) = absence_warnings(Route.objects.get(pk=route.pk))
    assert "proves that a GROUP was deleted" in warning
    assert "entities.GROUP.list and entities.GROUP.probe are missing" in warning
    group["probe"] = {"path": "/api/users"}
    connection.save()
    assert (find_absences(), absence_warnings(Route.objects.get(pk=route.pk))) == ([], [])
    Route.objects.filter(entity_type="GROUP").update(is_enabled=False)
    group.pop("probe")
    connection.save()
    assert find_absences() == [], "no route needs it"


def _match_nothing() -> None:
    """Let the mapping create records without a search."""
    version = MappingVersion.objects.get(mapping__name="Person to customer")
    version.declaration["match"] = {}
    MappingVersion.objects.filter(pk=version.pk).update(declaration=version.declaration)


def with_unreadable_certificates(stored: Connection) -> dict[str, Any]:
    """Return what makes a connection unusable, as if it was changed in the database."""
    address = stored.base_url.replace("http:", "https:")
    return {"base_url": address, "settings": stored.settings | {"ca": UNREADABLE}}


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("side", "spoil", "code"),
    [
        ("target", with_unreadable_certificates, "target-unavailable"),
        ("identity", with_unreadable_certificates, "identity-unavailable"),
        ("target", lambda _: {"credentials": None}, "target-credentials"),
    ],
)
def test_an_unusable_connection_fails_with_its_own_code(hub: Hub, side: str, spoil: Any, code: str) -> None:
    stored = Connection.objects.get(side=side)
    change_connection(stored, **spoil(stored))
    status, document = post_update(hub)
    assert (status, document["code"], document["retrying"]) == (424, code, True)
    assert hub.writes() == []
