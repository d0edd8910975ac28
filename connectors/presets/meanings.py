"""What do the fields of people and groups mean? One vocabulary for all systems, so that one can be mapped to another.

The names are those of the standard claims of OpenID Connect and of the core attributes of SCIM (RFC 7643), in lower
case.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


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
        "External ID",
        "The id in the identity service. It never changes, and a target stores it to recognise a record.",
    ),
    "username": Meaning("Username", "The name that the person logs in with."),
    "name": Meaning("Name", "The full name of the person, as it is displayed."),
    "given_name": Meaning("First name", "The given name of the person."),
    "middle_name": Meaning("Middle name", "The middle names of the person."),
    "family_name": Meaning("Last name", "The family name of the person."),
    "nickname": Meaning("Nickname", "The casual name of the person."),
    "email": Meaning("E-mail", "The primary e-mail address of the person."),
    "email_verified": Meaning(
        "E-mail verified",
        "True if the identity service has verified the primary e-mail address.",
        FieldType.BOOLEAN,
    ),
    "phone_number": Meaning("Phone number", "The primary phone number, such as +358401234567."),
    "phone_number_verified": Meaning(
        "Phone number verified",
        "True if the identity service has verified the primary phone number.",
        FieldType.BOOLEAN,
    ),
    "locale": Meaning("Locale", "The language of the person, with or without a country, such as en-GB."),
    "language": Meaning("Language", "The language of the person, without a country, such as en."),
    "zoneinfo": Meaning("Time zone", "The time zone of the person, such as Europe/Helsinki."),
    "birthdate": Meaning("Date of birth", "A date such as 1990-12-31."),
    "gender": Meaning("Gender", "The gender of the person."),
    "website": Meaning("Website", "The address of the person's web page."),
    "picture": Meaning("Picture", "The address of a picture of the person."),
    "street_address": Meaning("Street address", "The street and the number of the primary address."),
    "postal_code": Meaning("Postal code", "The postal code of the primary address."),
    "locality": Meaning("City", "The city of the primary address."),
    "region": Meaning("Region", "The state or region of the primary address."),
    "country": Meaning(
        "Country",
        "The country of the primary address, as two letters of ISO 3166-1, such as FI.",
    ),
    "active": Meaning(
        "Active",
        "True if the person may log in, false if they are disabled.",
        FieldType.BOOLEAN,
    ),
    "title": Meaning("Job title", "The title of the person at work."),
    "department": Meaning("Department", "The department that the person works in."),
    "organization": Meaning("Organisation", "The organisation that the person works for."),
    "employee_number": Meaning(
        "Employee number",
        "The number that the organisation has given to the person.",
    ),
    "group_name": Meaning("Group name", "The name of the group, as it is displayed."),
    "group_description": Meaning("Group description", "A sentence that describes the group."),
    "members": Meaning(
        "Members",
        "The ids of the people in the group, as the identity service has them.",
        FieldType.LIST,
    ),
}
