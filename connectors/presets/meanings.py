"""What do the fields of people and groups mean? One vocabulary for all systems, so that one can be mapped to another.

The names are those of the standard claims of OpenID Connect and of the core attributes of SCIM (RFC 7643), in lower
case.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from config_schema.translatable import translatable


class FieldType(StrEnum):
    """The type of a value, as mappings tell values apart."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    LIST = "list"
    OBJECT = "object"


@dataclass(frozen=True, slots=True)
class Meaning:
    """A meaning of a field. `label` and `sentence` are shown to people."""

    label: str
    sentence: str
    type: FieldType = FieldType.TEXT


# By name. A name never changes its meaning.
MEANINGS: Mapping[str, Meaning] = {
    "external_id": Meaning(
        translatable("External ID"),
        translatable(
            "The id in the identity service. It never changes, and a target stores it to recognise a record."
        ),
    ),
    "username": Meaning(translatable("Username"), translatable("The name that the person logs in with.")),
    "name": Meaning(translatable("Name"), translatable("The full name of the person, as it is displayed.")),
    "given_name": Meaning(translatable("First name"), translatable("The given name of the person.")),
    "middle_name": Meaning(translatable("Middle name"), translatable("The middle names of the person.")),
    "family_name": Meaning(translatable("Last name"), translatable("The family name of the person.")),
    "nickname": Meaning(translatable("Nickname"), translatable("The casual name of the person.")),
    "email": Meaning(translatable("E-mail"), translatable("The primary e-mail address of the person.")),
    "email_verified": Meaning(
        translatable("E-mail verified"),
        translatable("True if the identity service has verified the primary e-mail address."),
        FieldType.BOOLEAN,
    ),
    "phone_number": Meaning(
        translatable("Phone number"), translatable("The primary phone number, such as +358401234567.")
    ),
    "phone_number_verified": Meaning(
        translatable("Phone number verified"),
        translatable("True if the identity service has verified the primary phone number."),
        FieldType.BOOLEAN,
    ),
    "locale": Meaning(
        translatable("Locale"),
        translatable("The language of the person, with or without a country, such as en-GB."),
    ),
    "language": Meaning(
        translatable("Language"), translatable("The language of the person, without a country, such as en.")
    ),
    "zoneinfo": Meaning(
        translatable("Time zone"), translatable("The time zone of the person, such as Europe/Helsinki.")
    ),
    "birthdate": Meaning(translatable("Date of birth"), translatable("A date such as 1990-12-31.")),
    "gender": Meaning(translatable("Gender"), translatable("The gender of the person.")),
    "website": Meaning(translatable("Website"), translatable("The address of the person's web page.")),
    "picture": Meaning(translatable("Picture"), translatable("The address of a picture of the person.")),
    "street_address": Meaning(
        translatable("Street address"), translatable("The street and the number of the primary address.")
    ),
    "postal_code": Meaning(
        translatable("Postal code"), translatable("The postal code of the primary address.")
    ),
    "locality": Meaning(translatable("City"), translatable("The city of the primary address.")),
    "region": Meaning(translatable("Region"), translatable("The state or region of the primary address.")),
    "country": Meaning(
        translatable("Country"),
        translatable("The country of the primary address, as two letters of ISO 3166-1, such as FI."),
    ),
    "active": Meaning(
        translatable("Active"),
        translatable("True if the person may log in, false if they are disabled."),
        FieldType.BOOLEAN,
    ),
    "title": Meaning(translatable("Job title"), translatable("The title of the person at work.")),
    "department": Meaning(
        translatable("Department"), translatable("The department that the person works in.")
    ),
    "organization": Meaning(
        translatable("Organisation"), translatable("The organisation that the person works for.")
    ),
    "employee_number": Meaning(
        translatable("Employee number"),
        translatable("The number that the organisation has given to the person."),
    ),
    "group_name": Meaning(
        translatable("Group name"), translatable("The name of the group, as it is displayed.")
    ),
    "group_description": Meaning(
        translatable("Group description"), translatable("A sentence that describes the group.")
    ),
    "members": Meaning(
        translatable("Members"),
        translatable("The ids of the people in the group, as the identity service has them."),
        FieldType.LIST,
    ),
}
