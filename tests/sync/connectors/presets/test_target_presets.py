"""Deliveries with the settings of each preset of a target, to a stand-in that answers as its system is documented."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from sync.connectors.contracts.errors import (
    RecordExists,
    RecordStale,
    RequestRejected,
    RequestThrottled,
    UnreadableResponse,
)
from sync.connectors.contracts.types import TargetConnector, WriteContext
from sync.connectors.presets import PRESETS, load_preset
from sync.models import Attempt, Call, Connection, Link, Mapping, MappingVersion, Route
from tests.support.http.connectors import shop
from tests.support.http.oauth1_server import Consumer, OAuth1Server
from tests.support.http.servers import Reply, SeenRequest, Service, serving
from tests.support.hub import ANNA, Hub
from tests.support.targets.scim_service import ScimService
from tests.sync.connectors.presets.vendor_targets import VENDORS, Vendor

pytestmark = [pytest.mark.presets, pytest.mark.one_database, pytest.mark.slow]

ANNAS_ADDRESS = "anna.aalto@example.com"

every_vendor = pytest.mark.parametrize("name", VENDORS)


@contextmanager
def deliveries_to(
    hub: Hub, name: str, settings: dict[str, Any] | None = None
) -> Iterator[tuple[Any, Service]]:
    """Let the hub deliver users to the stand-in of a preset. Yields the stand-in and its server."""
    vendor, system = VENDORS[name], VENDORS[name].make()
    with serving(system.answer) as service:
        preset = load_preset(name)
        target = Connection.objects.get(slug="shop")
        target.base_url = service.url + vendor.path
        target.connector, target.authentication = preset["connector"], authentication_of(name, service)
        target.settings, target.credentials = settings or preset["settings"], dict(vendor.credentials)
        target.full_clean()
        target.save()
        _map_users(vendor)
        yield system, service
        hub.wait_until_idle()
        hub.wait_until_quiet()


def _map_users(vendor: Vendor) -> None:
    mapping = Mapping.objects.create(name="Preset")
    version = MappingVersion(
        mapping=mapping, number=1, declaration={"fields": dict(vendor.fields), "match": dict(vendor.match)}
    )
    version.full_clean()
    version.save()
    policy = Route.DeletionPolicy.DELETE if vendor.deactivated is None else Route.DeletionPolicy.DEACTIVATE
    Route.objects.filter(source__slug="aurora", entity_type="USER").update(
        mapping=mapping, when_deleted=policy, deactivation=dict(vendor.deactivated or {}), max_attempts=1
    )


def post(hub: Hub, event_type: str = "UPDATE") -> dict[str, Any]:
    """Post a signed webhook about Anna. Returns the answer."""
    document: dict[str, Any] = hub.post_signed(
        {"id": ANNA, "entityType": "USER", "eventType": event_type}
    ).json()
    return document


def rename(hub: Hub, family: str) -> None:
    name = {"givenName": "Anna", "familyName": family}
    hub.identity.directory.update_record("users", ANNA, {"name": name}, replaces=False)


def authentication_of(name: str, service: Service) -> dict[str, Any]:
    """Return the authentication of a preset, whose tokens come from the stand-in too."""
    settings: dict[str, Any] = load_preset(name)["authentication"]
    if "token_url" in settings:
        settings["token_url"] = service.url + urlsplit(settings["token_url"]).path
    return settings


def connect(name: str, service: Service) -> TargetConnector:
    """Return a connector with the preset."""
    preset = load_preset(name)
    return shop(
        service.url + VENDORS[name].path,
        authentication=authentication_of(name, service),
        credentials=dict(VENDORS[name].credentials),
        settings=preset["settings"],
        deadline=5,
    )


def writes() -> list[str]:
    return list(Call.objects.filter(is_write=True).order_by("pk").values_list("purpose", flat=True))


def test_every_preset_of_a_target_has_a_stand_in() -> None:
    targets = {name for name, preset in PRESETS.items() if preset.connector == "rest-target"}
    assert set(VENDORS) == targets - {"sandbox-shop"}


@every_vendor
def test_a_record_is_created_left_alone_and_updated(hub: Hub, name: str) -> None:
    with deliveries_to(hub, name) as (system, _):
        assert post(hub, "CREATE")["status"] == "succeeded"
        [(key, record)] = system.live.items()
        assert "Aalto" in VENDORS[name].family_name(record)
        assert Link.objects.get().record_id == key
        assert post(hub)["status"] == "unchanged"
        rename(hub, "Uusitalo")
        assert post(hub)["status"] == "succeeded"
        assert "Uusitalo" in VENDORS[name].family_name(system.live[key])
        assert post(hub)["status"] == "unchanged"
        assert writes() == ["create", "update"]


@every_vendor
def test_a_record_that_exists_is_found_and_updated(hub: Hub, name: str) -> None:
    with deliveries_to(hub, name) as (system, _):
        post(hub, "CREATE")
        Link.objects.all().delete()
        rename(hub, "Uusitalo")
        assert post(hub)["status"] == "succeeded"
        [record] = system.live.values()
        assert "Uusitalo" in VENDORS[name].family_name(record)


@every_vendor
def test_a_conflict_is_answered_in_the_words_of_the_system(hub: Hub, name: str) -> None:
    vendor = VENDORS[name]
    with deliveries_to(hub, name) as (system, _):
        if not vendor.is_new:
            post(hub, "CREATE")
        vendor.conflict(hub, system)
        answer = post(hub)
        assert answer["code"] == "target-rejected", answer
        assert vendor.sentence in answer["detail"]


@every_vendor
def test_a_deleted_user_is_removed(hub: Hub, name: str) -> None:
    vendor = VENDORS[name]
    with deliveries_to(hub, name) as (system, _):
        post(hub, "CREATE")
        hub.identity.directory.delete_record("users", ANNA)
        assert post(hub, "DELETE")["status"] == "succeeded"
        if vendor.deactivated is None:
            assert not system.live
        else:
            [record] = system.live.values()
            assert {field: record[field] for field in vendor.deactivated} == vendor.deactivated


@every_vendor
def test_wrong_credentials_are_those_of_the_target(hub: Hub, name: str) -> None:
    with deliveries_to(hub, name) as (system, _):
        target = Connection.objects.get(slug="shop")
        target.credentials = dict(VENDORS[name].wrong)
        target.save()
        answer = post(hub, "CREATE")
        assert Attempt.objects.latest("pk").code == "target-credentials", answer
        assert not system.live


@every_vendor
def test_the_connection_test_reads_a_record_and_searches_for_it(hub: Hub, name: str) -> None:
    with deliveries_to(hub, name) as (system, service):
        post(hub, "CREATE")
        target = connect(name, service)
        sample = target.read_sample()
        assert (sample.item_count, sample.is_proof) == (1, True)
        [key] = system.live
        record = target.get_record("USER", key)
        assert record is not None
        assert record.id == key
        assert target.get_record("USER", "999999") is None
        if VENDORS[name].deactivated is None:
            target.delete_record("USER", key, "k1", record.version)
            assert target.get_record("USER", key) is None


@pytest.mark.parametrize(
    ("name", "fields", "taken"),
    [
        ("directus-target", {"id": "1", "email": "a@b.test"}, {"id": "2"}),
        ("bigcommerce-customers-target", {"email": "a@b.test"}, {}),
        ("brevo-contacts-target", {"email": "a@b.test"}, {}),
        ("keycloak-users-target", {"username": "a", "email": "a@b.test"}, {}),
        ("zoho-crm-contacts-target", {"Email": "a@b.test", "Last_Name": "A"}, {}),
        ("dynamics-365-contacts-target", {"emailaddress1": "a@b.test", "lastname": "A"}, {}),
        ("erpnext-customers-target", {"customer_name": "A"}, {}),
        ("hubspot-contacts-target", {"email": "a@b.test"}, {}),
        ("magento-customers-target", {"email": "a@b.test", "firstname": "A", "lastname": "A"}, {}),
        ("salesforce-contacts-target", {"External_Id__c": "1", "LastName": "A"}, {}),
        ("sap-business-one-partners-target", {"CardCode": "C1", "CardName": "A"}, {}),
        ("shopify-customers-target", {"email": "a@b.test", "first_name": "A"}, {}),
        ("woocommerce-customers-target", {"email": "a@b.test"}, {}),
        ("zendesk-users-target", {"external_id": "1", "email": "a@b.test"}, {}),
        ("zendesk-users-target", {"external_id": "1", "email": "a@b.test"}, {"external_id": "2"}),
    ],
)
def test_a_value_that_is_taken_makes_the_hub_search_again(
    hub: Hub, name: str, fields: dict[str, Any], taken: dict[str, Any]
) -> None:
    """A search may not find what was created a moment ago."""
    with serving(VENDORS[name].make().answer) as service:
        target = connect(name, service)
        target.create_record("USER", fields, "k1")
        with pytest.raises(RecordExists) as caught:
            target.create_record("USER", fields | taken, "k2")
    assert caught.value.sentence


def test_zendesk_names_the_fields_that_it_refuses() -> None:
    with serving(VENDORS["zendesk-users-target"].make().answer) as service:
        target = connect("zendesk-users-target", service)
        target.create_record("USER", {"email": "a@b.test"}, "k1")
        with pytest.raises(RecordExists) as caught:
            target.create_record("USER", {"email": "a@b.test"}, "k2")
    [field] = caught.value.fields
    assert (field.field, field.code) == ("email", "DuplicateValue")


def test_dynamics_distinguishes_an_outdated_version_from_a_taken_key() -> None:
    """Both are answered with 412."""
    system = VENDORS["dynamics-365-contacts-target"].make()
    with serving(system.answer) as service:
        target = connect("dynamics-365-contacts-target", service)
        made = target.create_record("USER", {"emailaddress1": "a@b.test", "lastname": "A"}, "k1")
        system.add(emailaddress1="taken@b.test")
        with pytest.raises(RecordExists):
            target.create_record("USER", {"emailaddress1": "taken@b.test"}, "k2")
        target.update_record("USER", made.id, {"lastname": "B"}, "k3", made.version)
        with pytest.raises(RecordStale):
            target.update_record("USER", made.id, {"lastname": "C"}, "k4", made.version)
        assert system.live[made.id]["lastname"] == "B"


def test_an_update_of_magento_keeps_what_the_mapping_does_not_know() -> None:
    system = VENDORS["magento-customers-target"].make()
    with serving(system.answer) as service:
        target = connect("magento-customers-target", service)
        made = target.create_record("USER", {"email": "a@b.test", "firstname": "A", "lastname": "A"}, "k1")
        system.live[made.id]["taxvat"] = "FI01234567"
        before = dict(system.live[made.id])
        target.update_record("USER", made.id, {"lastname": "B"}, "k2")
        assert system.live[made.id] == before | {"lastname": "B"}


def test_netsuite_takes_requests_that_are_signed_with_a_token_too() -> None:
    name, realm = "netsuite-customers-target", "1234567_SB1"
    system = VENDORS[name].make()

    def answer(seen: SeenRequest) -> Reply:
        return system.answer(replace(seen, headers={**seen.headers, "authorization": system.authorization}))

    server = OAuth1Server(answer, realm=realm)
    with serving(server) as service:
        target = shop(
            service.url,
            authentication={"scheme": "oauth1", "realm": realm},
            credentials=Consumer().credentials,
            settings=load_preset(name)["settings"],
            deadline=5,
        )
        made = target.create_record("USER", {"externalId": "a1", "email": "a@b.test"}, "k1")
        target.update_record("USER", made.id, {"lastName": "B"}, "k2")
        [record] = target.search_records("USER", "email", "a@b.test")
        assert record.id == made.id
        assert system.live[made.id]["lastName"] == "B"
    assert server.reasons == []


def test_an_update_of_keycloak_keeps_what_the_mapping_does_not_know() -> None:
    name = "keycloak-users-target"
    system = VENDORS[name].make()
    with serving(system.answer) as service:
        target = connect(name, service)
        made = target.create_record("USER", {"username": "a", "email": "a@b.test", "lastName": "A"}, "k1")
        system.live[made.id]["attributes"] = {"department": ["Sales"]}
        before = dict(system.live[made.id])
        target.update_record("USER", made.id, {"lastName": "B"}, "k2")
        assert system.live[made.id] == before | {"lastName": "B"}


@pytest.mark.parametrize(
    ("name", "address"),
    [
        (
            "netsuite-customers-target",
            "https://ACCOUNT.suitetalk.api.netsuite.com/services/rest/async/v1/job/1",
        ),
        ("keycloak-users-target", "https://id.example.com/admin/realms/REALM/groups/1"),
        *((name, None) for name in ("netsuite-customers-target", "keycloak-users-target")),
    ],
)
def test_an_address_of_something_else_is_no_new_record(name: str, address: str | None) -> None:
    """The number of a job, which is made of a request that is answered later, may be the id of another record."""
    headers = {"Location": address} if address else {}

    def answer(seen: SeenRequest) -> Reply:
        is_creation = seen.path.startswith(urlsplit(service.url + VENDORS[name].path).path + "/") and (
            seen.method == "POST" and "token" not in seen.path
        )
        return Reply(202, None, headers) if is_creation else system.answer(seen)

    system = VENDORS[name].make()
    with serving(answer) as service:
        with pytest.raises(UnreadableResponse) as caught:
            connect(name, service).create_record("USER", {"email": "a@b.test"}, "k1")
        assert caught.value.maybe_applied


def test_an_update_of_sap_names_the_version_that_it_changes() -> None:
    name = "sap-c4c-customers-target"
    system = VENDORS[name].make()
    with serving(system.answer) as service:
        target = connect(name, service)
        made = target.create_record("USER", {"LastName": "A"}, "k1")
        target.update_record("USER", made.id, {"LastName": "B"}, "k2", made.version)
        with pytest.raises(RecordStale):
            target.update_record("USER", made.id, {"LastName": "C"}, "k3", made.version)
        assert system.live[made.id]["LastName"] == "B"


def test_a_csrf_token_that_has_ended_delays_no_delivery(hub: Hub) -> None:
    with deliveries_to(hub, "sap-c4c-customers-target") as (system, _):
        assert post(hub, "CREATE")["status"] == "succeeded"
        system.gateway.tokens.clear()
        rename(hub, "Uusitalo")
        assert post(hub)["status"] == "succeeded"
        [customer] = system.live.values()
        assert customer["LastName"] == "Uusitalo"
        assert Attempt.objects.count() == 2


def test_zoho_says_which_field_is_missing_although_the_status_is_a_success(hub: Hub) -> None:
    with serving(VENDORS["zoho-crm-contacts-target"].make().answer) as service:
        target = connect("zoho-crm-contacts-target", service)
        with pytest.raises(RequestRejected) as caught:
            target.create_record("USER", {"Email": "a@b.test"}, "k1")
    assert caught.value.sentence == "required field not found"
    [field] = caught.value.fields
    assert (field.field, field.code) == ("Last_Name", "MANDATORY_NOT_FOUND")


@pytest.mark.parametrize(
    ("name", "headers", "seconds"),
    [
        ("bigcommerce-customers-target", {"X-Rate-Limit-Time-Reset-Ms": "15000"}, 15.0),
        ("brevo-contacts-target", {"x-sib-ratelimit-reset": "9"}, 9.0),
        ("pipedrive-persons-target", {"x-ratelimit-reset": "2"}, 2.0),
    ],
)
def test_a_system_without_retry_after_says_how_long_its_limit_lasts(
    name: str, headers: dict[str, str], seconds: float
) -> None:
    with (
        serving(lambda _: Reply(429, {"message": "Too many requests"}, headers)) as service,
        pytest.raises(RequestThrottled) as caught,
    ):
        connect(name, service).get_record("USER", "1")
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # The new address replaces the primary one; the others are as they were.
        (
            [("old@b.test", True, "work"), ("home@b.test", False, "home")],
            [(ANNAS_ADDRESS, True, None), ("home@b.test", False, "home")],
        ),
        # One of the others becomes the primary one.
        (
            [("old@b.test", True, "work"), (ANNAS_ADDRESS.title(), False, "home")],
            [(ANNAS_ADDRESS, True, None), ("old@b.test", False, None)],
        ),
        ([], [(ANNAS_ADDRESS, True, None)]),
    ],
)
def test_pipedrive_gets_a_primary_address_and_keeps_the_others(before: list[Any], after: list[Any]) -> None:
    name = "pipedrive-persons-target"
    system = VENDORS[name].make()
    parts = ("value", "primary", "label")
    with serving(system.answer) as service:
        target = connect(name, service)
        person = system.add(name="Anna", emails=[dict(zip(parts, mail, strict=True)) for mail in before])
        key = str(person["id"])
        updated = target.update_record("USER", key, {"email": ANNAS_ADDRESS}, "k1")
        assert [tuple(mail.get(part) for part in parts) for mail in person["emails"]] == after
        assert updated.fields["email"] == ANNAS_ADDRESS
        target.update_record("USER", key, {"email": None}, "k2")
        assert person["emails"] == [mail for mail in person["emails"] if not mail["primary"]]


def test_a_person_of_pipedrive_is_found_by_a_further_address(hub: Hub) -> None:
    with deliveries_to(hub, "pipedrive-persons-target") as (system, _):
        emails = [{"value": "old@b.test", "primary": True}, {"value": ANNAS_ADDRESS, "primary": False}]
        person = system.add(name="Anna", emails=emails)
        assert post(hub)["status"] == "succeeded"
        assert list(system.live.values()) == [person]
        assert Link.objects.get().record_id == str(person["id"])
        assert person["emails"][0] == {"value": ANNAS_ADDRESS, "primary": True}
        assert post(hub)["status"] == "unchanged"


def test_brevo_clears_an_attribute_and_changes_an_address() -> None:
    name = "brevo-contacts-target"
    system = VENDORS[name].make()
    with serving(system.answer) as service:
        target = connect(name, service)
        made = target.create_record("USER", {"email": "a@b.test", "FIRSTNAME": "A", "LASTNAME": "B"}, "k1")
        target.update_record("USER", made.id, {"email": "c@b.test", "FIRSTNAME": None}, "k2")
        after = target.get_record("USER", made.id)
    assert after is not None
    assert (after.fields["email"], after.fields["FIRSTNAME"], after.fields["LASTNAME"]) == (
        "c@b.test",
        None,
        "B",
    )


def test_a_mailchimp_member_is_found_by_address_and_unarchived(hub: Hub) -> None:
    name = "mailchimp-members-target"
    with deliveries_to(hub, name) as (system, _):
        assert post(hub, "CREATE")["status"] == "succeeded"
        before = Link.objects.get().record_id
        hub.change_email("new@example.com")
        assert post(hub)["status"] == "succeeded"
        [(key, member)] = system.live.items()
        assert (key, member["email_address"]) == (Link.objects.get().record_id, "new@example.com")
        assert key != before
        assert post(hub)["status"] == "unchanged"
        # Somebody archives the member. That it is so is believed because another one can be read.
        system.add(email_address="other@example.com")
        system.deleted[key] = system.live.pop(key)
        assert post(hub)["status"] == "succeeded"
        assert system.live[key]["status"] == "subscribed"
        assert not system.deleted


@pytest.mark.parametrize("name", ["scim-patch-target", "scim-patch-etag-target", "scim-put-target"])
def test_the_members_of_a_group_are_ids(name: str) -> None:
    update = "PUT" if "put" in name else "PATCH"
    system = ScimService(has_etags="etag" in name, update=update, unique="displayName")
    with serving(system.answer) as service:
        target = connect(name, service)
        made = target.create_record("GROUP", {"displayName": "Staff", "members": ["u2", "u1"]}, "k1")
        assert made.fields["members"] == ["u1", "u2"]
        [found] = target.search_records("GROUP", "displayName", "Staff")
        version = target.load_version("GROUP", found).version
        context = WriteContext(current=found.fields)
        changed = target.update_record("GROUP", made.id, {"members": ["u3"]}, "k2", version, context)
        assert (changed.fields["displayName"], changed.fields["members"]) == ("Staff", ["u3"])
        emptied = target.update_record(
            "GROUP", made.id, {"members": None}, "k3", changed.version, WriteContext(current=changed.fields)
        )
        assert emptied.fields["members"] == []


@pytest.mark.parametrize(
    ("name", "field", "stored"),
    [
        ("stripe-customers-target", "name", lambda customer: customer["name"]),
        ("keycloak-users-target", "email", lambda user: user["email"]),
        ("shopify-customers-target", "last_name", lambda customer: customer["lastName"]),
        ("scim-patch-target", "name.familyName", lambda user: user["name"].get("familyName")),
        ("scim-put-target", "name.familyName", lambda user: user["name"].get("familyName")),
        ("scim-put-target", "email", lambda user: user["emails"]),
        ("scim-patch-target", "email", lambda user: user.get("emails")),
    ],
)
def test_a_field_without_a_value_is_cleared_and_the_others_stay(name: str, field: str, stored: Any) -> None:
    fields = {"email": "a@b.test", "userName": "a", "name": "A", "last_name": "A", "name.familyName": "A"}
    system = VENDORS[name].make()
    with serving(system.answer) as service:
        target = connect(name, service)
        made = target.create_record("USER", fields, "k1")
        before = target.get_record("USER", made.id)
        assert before is not None
        assert before.fields[field]
        target.update_record("USER", made.id, {field: None}, "k2", None, WriteContext(current=before.fields))
        assert not stored(system.live[made.id])
        after = target.get_record("USER", made.id)
        assert after is not None
        kept = {one: value for one, value in before.fields.items() if one != field}
        assert {one: after.fields[one] for one in kept} == kept


# Broken variants: a preset with one wrong setting.


@every_vendor
def test_a_preset_with_a_wrong_setting_is_caught(hub: Hub, name: str) -> None:
    place, wrong = VENDORS[name].broken
    settings = load_preset(name)["settings"]
    holder = settings
    for step in place[:-1]:
        holder = holder[step]
    assert holder.get(place[-1]) != wrong
    holder[place[-1]] = wrong
    with pytest.raises((AssertionError, KeyError, ValueError)):
        run_course(hub, name, settings)


@every_vendor
def test_the_preset_passes_the_course_of_a_record(hub: Hub, name: str) -> None:
    run_course(hub, name, load_preset(name)["settings"])


def run_course(hub: Hub, name: str, settings: dict[str, Any]) -> None:
    """Create a record, find it again, update and remove it. Raises AssertionError if one of it fails."""
    with deliveries_to(hub, name, settings) as (system, _):
        assert post(hub, "CREATE")["status"] == "succeeded"
        assert post(hub)["status"] == "unchanged"
        Link.objects.all().delete()
        rename(hub, "Uusitalo")
        assert post(hub)["status"] == "succeeded"
        [record] = system.live.values()
        assert "Uusitalo" in VENDORS[name].family_name(record)
        hub.identity.directory.delete_record("users", ANNA)
        assert post(hub, "DELETE")["status"] == "succeeded"
        assert not system.live or VENDORS[name].deactivated
