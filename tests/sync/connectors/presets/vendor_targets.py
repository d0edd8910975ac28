"""The stand-in of each preset of a target, with a mapping, credentials and a conflict."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.http.oauth1_server import Consumer
from tests.support.hub import ANNA, Hub
from tests.support.targets.commerce_vendors import Magento, Mailchimp
from tests.support.targets.contact_book import Pipedrive
from tests.support.targets.crm_vendors import (
    ANOTHER_KEY,
    NETSUITE_KEY,
    BigCommerce,
    Brevo,
    CloudForCustomer,
    KeycloakRealm,
    NetSuite,
    Zoho,
)
from tests.support.targets.csrf_gateway import PASSWORD, USER
from tests.support.targets.form_biller import FormBiller
from tests.support.targets.odata_vendors import BusinessOne, Dataverse
from tests.support.targets.other_vendors import Odoo, Shopify, Tryton, Vendure
from tests.support.targets.rest_vendors import (
    TAKEN,
    Directus,
    ErpNext,
    HubSpot,
    Salesforce,
    WooCommerce,
    Zendesk,
)
from tests.support.targets.scim_service import ScimService

TOKEN = {"token": "s3cret-token"}
_EMAIL = {"path": "entity.emails[0].address", "apply": ["lower"], "caseless": True}
_GIVEN, _FAMILY = {"path": "entity.name.givenName"}, {"path": "entity.name.familyName"}
_ID = {"path": "entity.id"}
_VERIFIED = {"path": "entity.emails", "apply": ["verified_email", "lower"]}
_BY_ADDRESS = {"new": ["email"], "verified": {"new": {"email": _VERIFIED}}}
_FULL_NAME = {"path": "join(' ', [entity.name.givenName, entity.name.familyName])"}


def take_address(**fields: Any) -> Callable[[Hub, Any], None]:
    """Return a conflict: another record takes an address, which the entity then gets."""

    def take(hub: Hub, system: Any) -> None:
        system.add(**fields)
        hub.change_email(TAKEN)

    return take


def _give_bad_address(hub: Hub, system: FormBiller) -> None:
    system.refused_addresses.add(hub.change_email(TAKEN))


def _unsubscribe(hub: Hub, system: Mailchimp) -> None:
    system.unsubscribed.add("anna.aalto@example.com")


def _give_invalid_address(hub: Hub, system: CloudForCustomer) -> None:
    system.invalid.add(hub.change_email(TAKEN))


def _take_name(hub: Hub, system: Pipedrive) -> None:
    name = {"givenName": "", "familyName": ""}
    hub.identity.directory.update_record("users", ANNA, {"name": name}, replaces=False)


@dataclass(frozen=True)
class Vendor:
    """What one system needs. `found`: selects the family name of a record in the stand-in. `conflict`: makes the next
    change one that the system refuses with `sentence`; `is_new`: it is a creation. `deactivated`: fields for a deleted
    entity instead of a deletion. `broken`: a setting (by its path) and a wrong value for it.
    """

    make: Callable[[], Any]
    fields: Mapping[str, Any]
    match: Mapping[str, Any]
    family_name: Callable[[Mapping[str, Any]], Any]
    conflict: Callable[[Hub, Any], None]
    sentence: str
    broken: tuple[tuple[str, ...], Any]
    credentials: Mapping[str, str] = field(default_factory=lambda: TOKEN)
    wrong: Mapping[str, str] = field(default_factory=lambda: {"token": "expired-token"})
    path: str = ""
    is_new: bool = False
    deactivated: Mapping[str, Any] | None = None


_OPERATIONS = ("entities", "USER", "operations")
_SCIM_FIELDS = {
    "externalId": _ID,
    "userName": _EMAIL,
    "email": _EMAIL,
    "name.givenName": _GIVEN,
    "name.familyName": _FAMILY,
    "active": {"constant": True},
}


def _scim(**options: Any) -> Vendor:
    return Vendor(
        make=lambda: ScimService(**options),
        fields=_SCIM_FIELDS,
        match={"external_id": "externalId"},
        family_name=lambda user: user["name"]["familyName"],
        conflict=take_address(userName=TAKEN, externalId="another"),
        sentence="User already exists in the database.",
        broken=((*_OPERATIONS, "search", "result"), "resources"),
        path="/scim/v2",
    )


def _occupy(**fields: Any) -> Callable[[Hub, Any], None]:
    def add(_: Hub, system: Any) -> None:
        system.add(**fields)

    return add


VENDORS: dict[str, Vendor] = {
    "directus-target": Vendor(
        make=Directus,
        fields={"id": _ID, "email": _EMAIL, "first_name": _GIVEN, "last_name": _FAMILY},
        match={"external_id": "id"},
        family_name=lambda record: record["last_name"],
        conflict=take_address(id="another", email=TAKEN),
        sentence=f'Value "{TAKEN}" for field "email" in collection "customers" has to be unique.',
        broken=(("entities", "USER", "record"), "item"),
    ),
    "tryton-target": Vendor(
        make=Tryton,
        fields={"code": _ID, "name": _FULL_NAME, "email": _EMAIL, "active": {"constant": True}},
        match={"external_id": "code"},
        family_name=lambda party: party["name"],
        conflict=_occupy(code=ANNA, name="Somebody Else", active=False),
        sentence="The code on party must be unique.",
        broken=((*_OPERATIONS, "get", "result"), "[1]"),
        is_new=True,
        deactivated={"active": False},
    ),
    "vendure-target": Vendor(
        make=Vendure,
        fields={"external_id": _ID, "email": _EMAIL, "first_name": _GIVEN, "last_name": _FAMILY},
        match={"external_id": "external_id"},
        family_name=lambda customer: customer["lastName"],
        conflict=take_address(emailAddress=TAKEN, firstName="A", lastName="B"),
        sentence="The email address is not available.",
        broken=((*_OPERATIONS, "create", "result"), "data.create"),
        credentials={"username": "hub", "password": "s3cret"},
        wrong={"username": "hub", "password": "expired"},
    ),
    "scim-patch-target": _scim(has_etags=False),
    "scim-patch-etag-target": _scim(),
    "scim-put-target": _scim(has_etags=False, update="PUT"),
    "hubspot-contacts-target": Vendor(
        make=HubSpot,
        fields={"email": _EMAIL, "firstname": _GIVEN, "lastname": _FAMILY},
        match=_BY_ADDRESS,
        family_name=lambda contact: contact["lastname"],
        conflict=take_address(email=TAKEN),
        sentence="Contact already exists. Existing ID: 102",
        broken=((*_OPERATIONS, "get", "result"), "properties"),
    ),
    "stripe-customers-target": Vendor(
        make=FormBiller,
        fields={"email": _EMAIL, "name": _FULL_NAME, "external_id": _ID},
        match=_BY_ADDRESS,
        family_name=lambda customer: customer["name"],
        conflict=_give_bad_address,
        sentence=f"Invalid email address: {TAKEN}",
        broken=((*_OPERATIONS, "create", "encoding"), "json"),
    ),
    "shopify-customers-target": Vendor(
        make=Shopify,
        fields={"email": _EMAIL, "first_name": _GIVEN, "last_name": _FAMILY},
        match=_BY_ADDRESS,
        family_name=lambda customer: customer["lastName"],
        conflict=take_address(email=TAKEN),
        sentence="Email has already been taken",
        broken=((*_OPERATIONS, "search", "body", "variables"), {"query": {"template": "{value}"}}),
        credentials={"value": "s3cret-token"},
        wrong={"value": "expired-token"},
    ),
    "odoo-partners-target": Vendor(
        make=Odoo,
        fields={"ref": _ID, "name": _FULL_NAME, "email": _EMAIL, "active": {"constant": True}},
        match={"external_id": "ref"},
        family_name=lambda partner: partner["name"],
        conflict=take_address(name="Somebody Else", email=TAKEN),
        sentence="The email of a contact must be unique.",
        broken=((*_OPERATIONS, "create", "result"), "[0]"),
    ),
    "erpnext-customers-target": Vendor(
        make=ErpNext,
        fields={
            "custom_external_id": _ID,
            "customer_name": {**_FULL_NAME, "only_on_create": True},
            "customer_details": _FAMILY,
            "customer_type": {"constant": "Individual"},
        },
        match={"external_id": "custom_external_id"},
        family_name=lambda customer: customer["customer_details"],
        conflict=_occupy(customer_name="Anna Aalto", custom_external_id="another"),
        sentence="frappe.exceptions.DuplicateEntryError: ('Customer', 'Anna Aalto')",
        broken=((*_OPERATIONS, "create", "result"), "message"),
        credentials={"value": "token key:s3cret"},
        wrong={"value": "token key:expired"},
        is_new=True,
    ),
    "woocommerce-customers-target": Vendor(
        make=WooCommerce,
        fields={"email": _EMAIL, "first_name": _GIVEN, "last_name": _FAMILY},
        match=_BY_ADDRESS,
        family_name=lambda customer: customer["last_name"],
        conflict=take_address(email=TAKEN),
        sentence="Email address is invalid.",
        broken=((*_OPERATIONS, "delete", "query"), {}),
        credentials={"username": "ck_key", "password": "cs_s3cret"},
        wrong={"username": "ck_key", "password": "cs_expired"},
    ),
    "zendesk-users-target": Vendor(
        make=Zendesk,
        fields={"external_id": _ID, "name": _FULL_NAME, "email": {**_EMAIL, "only_on_create": True}},
        match={"external_id": "external_id"},
        family_name=lambda user: user["name"],
        conflict=_occupy(email="anna.aalto@example.com", external_id="another"),
        sentence="Email: anna.aalto@example.com is already being used by another user",
        broken=((*_OPERATIONS, "search", "query"), {"query": "{value}"}),
        credentials={"username": "hub@example.com/token", "password": "s3cret"},
        wrong={"username": "hub@example.com/token", "password": "expired"},
        is_new=True,
    ),
    "salesforce-contacts-target": Vendor(
        make=Salesforce,
        fields={"External_Id__c": _ID, "Email": _EMAIL, "FirstName": _GIVEN, "LastName": _FAMILY},
        match={"external_id": "External_Id__c"},
        family_name=lambda contact: contact["LastName"],
        conflict=take_address(Email=TAKEN, External_Id__c="another"),
        sentence="duplicate value found: Email duplicates value on record with id: 003xx0000000102AAA",
        broken=((*_OPERATIONS, "create", "result"), "@"),
        credentials={"client_id": "hub", "client_secret": "s3cret"},
        wrong={"client_id": "hub", "client_secret": "expired"},
    ),
    "dynamics-365-contacts-target": Vendor(
        make=Dataverse,
        fields={
            "new_externalid": _ID,
            "emailaddress1": _EMAIL,
            "firstname": _GIVEN,
            "lastname": _FAMILY,
            "statecode": {"constant": 0},
            "statuscode": {"constant": 1},
        },
        match={"external_id": "new_externalid"},
        family_name=lambda contact: contact["lastname"],
        conflict=take_address(emailaddress1=TAKEN, new_externalid="another"),
        sentence="A record with the same value for Email already exists.",
        broken=((*_OPERATIONS, "create", "headers"), {}),
        credentials={"client_id": "hub", "client_secret": "s3cret"},
        wrong={"client_id": "hub", "client_secret": "expired"},
        deactivated={"statecode": 1, "statuscode": 2},
    ),
    "magento-customers-target": Vendor(
        make=Magento,
        fields={"email": _EMAIL, "firstname": _GIVEN, "lastname": _FAMILY},
        match=_BY_ADDRESS,
        family_name=lambda customer: customer["lastname"],
        conflict=take_address(email=TAKEN),
        sentence="A customer with the same email address already exists in an associated website.",
        broken=((*_OPERATIONS, "update", "style"), "changed"),
        credentials=Consumer().credentials,
        wrong=Consumer(token_secret="expired").credentials,
    ),
    "mailchimp-members-target": Vendor(
        make=Mailchimp,
        fields={"email_address": _EMAIL, "FNAME": _GIVEN, "LNAME": _FAMILY},
        match={"new": ["email_address"], "verified": {"new": {"email_address": _VERIFIED}}},
        family_name=lambda member: member["merge_fields"]["LNAME"],
        conflict=_unsubscribe,
        sentence="anna.aalto@example.com is in a compliance state due to unsubscribe, bounce, or compliance review",
        broken=((*_OPERATIONS, "create", "values"), {"hash": "sha256(sent.email_address)"}),
        credentials={"username": "hub", "password": "s3cret-us21"},
        wrong={"username": "hub", "password": "expired-us21"},
        path="/3.0/lists/LIST_ID",
        is_new=True,
    ),
    "sap-business-one-partners-target": Vendor(
        make=BusinessOne,
        fields={
            "CardCode": {"constant": "HUB1", "only_on_create": True},
            "CardName": _FULL_NAME,
            "CardType": {"constant": "cCustomer"},
            "EmailAddress": _EMAIL,
            "U_ExternalId": _ID,
            "Valid": {"constant": "tYES"},
            "Frozen": {"constant": "tNO"},
        },
        match={"external_id": "U_ExternalId"},
        family_name=lambda partner: partner["CardName"],
        conflict=_occupy(CardCode="HUB1", CardName="Somebody Else", U_ExternalId="another"),
        sentence="1320000140 - Business partner code 'HUB1' already assigned to a business partner",
        broken=((*_OPERATIONS, "search", "result"), "d.results"),
        credentials={"username": "hub", "password": "s3cret"},
        wrong={"username": "hub", "password": "expired"},
        is_new=True,
        deactivated={"Valid": "tNO", "Frozen": "tYES"},
    ),
    "sap-c4c-customers-target": Vendor(
        make=CloudForCustomer,
        fields={"ExternalId_KUT": _ID, "Email": _EMAIL, "FirstName": _GIVEN, "LastName": _FAMILY},
        match={"external_id": "ExternalId_KUT"},
        family_name=lambda customer: customer["LastName"],
        conflict=_give_invalid_address,
        sentence=f"E-mail address {TAKEN} is not valid",
        broken=((*_OPERATIONS, "search", "result"), "value"),
        credentials={"username": USER, "password": PASSWORD},
        wrong={"username": USER, "password": "expired-password"},
    ),
    "netsuite-customers-target": Vendor(
        make=NetSuite,
        fields={
            "externalId": _ID,
            "email": _EMAIL,
            "firstName": _GIVEN,
            "lastName": _FAMILY,
            "isPerson": {"constant": True, "only_on_create": True},
        },
        match={"external_id": "externalId"},
        family_name=lambda customer: customer["lastName"],
        conflict=take_address(email=TAKEN, externalId="another"),
        sentence="Error while accessing a resource. This entity already exists.",
        broken=((*_OPERATIONS, "create", "created_id"), "headers.location"),
        credentials={"client_id": "hub", "signing_key": NETSUITE_KEY},
        wrong={"client_id": "hub", "signing_key": ANOTHER_KEY},
    ),
    "zoho-crm-contacts-target": Vendor(
        make=Zoho,
        fields={"Email": _EMAIL, "First_Name": _GIVEN, "Last_Name": _FAMILY},
        match={"new": ["Email"], "verified": {"new": {"Email": _VERIFIED}}},
        family_name=lambda contact: contact["Last_Name"],
        conflict=take_address(Email=TAKEN, Last_Name="Somebody"),
        sentence="duplicate data",
        broken=((*_OPERATIONS, "create", "result"), "data[0]"),
        credentials={"client_id": "hub", "client_secret": "s3cret", "refresh_token": "1000.refresh"},
        wrong={"client_id": "hub", "client_secret": "s3cret", "refresh_token": "1000.expired"},
    ),
    "brevo-contacts-target": Vendor(
        make=Brevo,
        fields={"email": _EMAIL, "FIRSTNAME": _GIVEN, "LASTNAME": _FAMILY},
        match=_BY_ADDRESS,
        family_name=lambda contact: contact["LASTNAME"],
        conflict=take_address(email=TAKEN),
        sentence="email is already associated with another Contact",
        broken=((*_OPERATIONS, "search", "query"), {"identifierType": "contact_id"}),
        credentials={"value": "xkeysib-s3cret"},
        wrong={"value": "xkeysib-expired"},
        path="/v3",
    ),
    "pipedrive-persons-target": Vendor(
        make=Pipedrive,
        fields={"name": _FULL_NAME, "email": _EMAIL},
        match=_BY_ADDRESS,
        family_name=lambda person: person["name"],
        conflict=_take_name,
        sentence="Name must be given.",
        broken=((*_OPERATIONS, "search", "field_values"), {"email": "emails[].value"}),
        credentials={"value": "s3cret-token"},
        wrong={"value": "expired-token"},
        path="/api/v2",
    ),
    "bigcommerce-customers-target": Vendor(
        make=BigCommerce,
        fields={"email": _EMAIL, "first_name": _GIVEN, "last_name": _FAMILY},
        match=_BY_ADDRESS,
        family_name=lambda customer: customer["last_name"],
        conflict=take_address(email=TAKEN),
        sentence=f"email {TAKEN} already in use",
        broken=((*_OPERATIONS, "get", "result"), "data"),
        credentials={"value": "s3cret-token"},
        wrong={"value": "expired-token"},
        path="/stores/HASH/v3",
    ),
    "keycloak-users-target": Vendor(
        make=KeycloakRealm,
        fields={
            "username": {**_EMAIL, "only_on_create": True},
            "email": _EMAIL,
            "firstName": _GIVEN,
            "lastName": _FAMILY,
            "enabled": {"constant": True},
        },
        match=_BY_ADDRESS,
        family_name=lambda user: user["lastName"],
        conflict=take_address(email=TAKEN, username="another"),
        sentence="User exists with same email",
        broken=((*_OPERATIONS, "create", "created_id"), "body.id"),
        credentials={"client_id": "hub", "client_secret": "s3cret"},
        wrong={"client_id": "hub", "client_secret": "expired"},
        path="/admin/realms/REALM",
    ),
}
