"""The presets of SCIM targets with a real SCIM server: each way to change a user keeps what others have set."""

import pytest

from connectors.contracts.errors import ConnectorError
from connectors.contracts.types import WriteContext
from tests.peers.systems.scim2_server import Scim2Server
from tests.peers.test_lists import check_list, connect, state_in_memory

__all__ = ["state_in_memory"]

pytestmark = [pytest.mark.peers, pytest.mark.nightly, pytest.mark.concurrent, pytest.mark.pure]

PRESETS = ["scim-patch-target", "scim-put-target", "scim-patch-etag-target"]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_change_keeps_the_attributes_and_addresses_of_others(
    scim2_server: Scim2Server, preset: str
) -> None:
    connector, _ = connect(preset, scim2_server.scim_url, {"token": scim2_server.token})
    email = f"{preset}@example.org"
    fields = {"externalId": preset, "userName": email, "name.givenName": "Ada", "email": email, "title": "Dr"}
    record = connector.create_record("USER", fields, "k1")
    assert [found.id for found in connector.search_records("USER", "externalId", preset)] == [record.id]
    home = [
        {"value": email, "primary": True},
        {"value": f"home.{email}", "type": "home"},
    ]
    scim2_server.patch_user(record.id, "emails", home)
    scim2_server.patch_user(record.id, "nickName", "Countess")
    current = connector.get_record("USER", record.id)
    changes = {"email": f"new.{email}", "title": None, "name.familyName": "King"}
    context = WriteContext(key=preset, fields=fields | changes, current=current.fields)
    connector.update_record("USER", record.id, changes, "k2", version=current.version, context=context)
    user = scim2_server.find_user(preset)
    assert user is not None
    assert {one["value"] for one in user["emails"]} == {f"new.{email}", f"home.{email}"}
    assert (user["nickName"], user["name"], user.get("title")) == (
        "Countess",
        {"givenName": "Ada", "familyName": "King"},
        None,
    )
    written = connector.get_record("USER", record.id)
    connector.delete_record("USER", record.id, "k3", version=written.version)
    assert connector.get_record("USER", record.id) is None


def test_a_change_of_an_older_version_is_refused(scim2_server: Scim2Server) -> None:
    preset = PRESETS[2]
    connector, _ = connect(preset, scim2_server.scim_url, {"token": scim2_server.token})
    fields = {"externalId": "stale", "userName": "stale@example.org", "email": "stale@example.org"}
    record = connector.create_record("USER", fields, "k1")
    old = connector.get_record("USER", record.id)
    scim2_server.patch_user(record.id, "nickName", "Countess")
    context = WriteContext(key="stale", fields=fields, current=old.fields)
    with pytest.raises(ConnectorError) as refused:
        connector.update_record(
            "USER", record.id, {"title": "Dr"}, "k2", version=old.version, context=context
        )
    assert type(refused.value).__name__ == "RecordStale"


# A list has no ETags.
@pytest.mark.parametrize("preset", [*PRESETS[:2], "scim-identity"])
def test_users_are_listed(scim2_server: Scim2Server, preset: str) -> None:
    names = [f"list-{preset}-{number}@example.org" for number in range(3)]
    ids = {scim2_server.create_user(name, "Ada", "King", name) for name in names}
    check_list(*connect(preset, scim2_server.scim_url, {"token": scim2_server.token}), ids, 2)
