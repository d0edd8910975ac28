"""Conversion of users to form values, and of forms to changes of users."""

import re
import unicodedata
from collections.abc import Mapping

from sandbox.base.store import Record
from sandbox.http.messages import FieldError, HttpError

MAX_LENGTH = 200
"""Characters in one field of a form."""

FORM_FIELDS = ("given_name", "family_name", "email", "mobile")


def build_person_row(user: Record) -> dict[str, object]:
    """Return a user as a flat mapping of texts."""
    name, emails, mobiles = user.get("name") or {}, user.get("emails") or [{}], user.get("mobiles") or [{}]
    given, family = name.get("givenName") or "", name.get("familyName") or ""
    return {
        "id": user["id"],
        "given_name": given,
        "family_name": family,
        "full_name": f"{given} {family}".strip() or user.get("username"),
        "initials": (given[:1] + family[:1]).upper() or "?",
        "email": emails[0].get("address", ""),
        "is_verified": emails[0].get("verified") is True,
        "mobile": mobiles[0].get("number", ""),
        "version": user["version"],
    }


def parse_profile_form(form: Mapping[str, str], before: Record) -> dict[str, object]:
    """Return the fields of a user that the form changes. A new address is unverified; further ones are not changed.

    Raises HttpError (400) with an error for each required field that is empty, and for each field that is too long.
    """
    check_form(form, required=("given_name", "family_name", "email"))
    email, mobile = form["email"], form.get("mobile", "")
    emails = before.get("emails") or []
    is_unchanged = emails and emails[0].get("address") == email
    first = emails[0] if is_unchanged else {"address": email, "verified": False}
    name = {"givenName": form["given_name"], "familyName": form["family_name"]}
    return {
        "name": {**(before.get("name") or {}), **name},
        "emails": [first, *emails[1:]],
        "mobiles": [{"number": mobile}, *(before.get("mobiles") or [])[1:]] if mobile else [],
    }


def build_username(form: Mapping[str, str]) -> str:
    """Return a user name such as ``vaino.osterberg`` for Väinö Österberg."""
    name = f"{form.get('given_name', '')}.{form.get('family_name', '')}".lower()
    return re.sub(r"[^a-z0-9.]+", "", unicodedata.normalize("NFKD", name))


def check_form(form: Mapping[str, str], required: tuple[str, ...]) -> None:
    """Raise HttpError (400) with an error for each required field that is empty, and for each that is too long."""
    errors = [FieldError(name, "required", "Please fill this in.") for name in required if not form.get(name)]
    errors += [
        FieldError(name, "too_long", f"At most {MAX_LENGTH} characters, please.")
        for name, value in form.items()
        if len(value) > MAX_LENGTH
    ]
    if errors:
        raise HttpError(400, "Please check the marked fields.", tuple(errors))


def list_field_messages(error: HttpError) -> dict[str, str]:
    """Return the message for each field of the form."""
    return {field_error.field: field_error.message for field_error in error.field_errors}
