"""A user as the pages' forms have it, and the way back."""

import re
import unicodedata
from collections.abc import Mapping

from sandbox.base.store import Record
from sandbox.http.messages import FieldError, Problem

LONGEST = 200
"""Characters of one field of a form."""

FORM_FIELDS = ("given_name", "family_name", "email", "mobile")


def person_row(user: Record) -> dict[str, object]:
    """A user as a flat row of texts."""
    name, emails, mobiles = user.get("name") or {}, user.get("emails") or [{}], user.get("mobiles") or [{}]
    given, family = name.get("givenName") or "", name.get("familyName") or ""
    return {
        "id": user["id"],
        "given_name": given,
        "family_name": family,
        "full_name": f"{given} {family}".strip() or user.get("username"),
        "initials": (given[:1] + family[:1]).upper() or "?",
        "email": emails[0].get("address", ""),
        "mobile": mobiles[0].get("number", ""),
        "version": user["version"],
    }


def profile_changes(form: Mapping[str, str], before: Record) -> dict[str, object]:
    """The members of a user that the form sets; further addresses of the user stay.

    Raises Problem (400) with an error for each field that is empty without leave, or too long.
    """
    check_form(form, required=("given_name", "family_name", "email"))
    email, mobile = form["email"], form.get("mobile", "")
    emails = before.get("emails") or []
    known = emails and emails[0].get("address") == email
    first = emails[0] if known else {"address": email, "verified": True}
    name = {"givenName": form["given_name"], "familyName": form["family_name"]}
    return {
        "name": {**(before.get("name") or {}), **name},
        "emails": [first, *emails[1:]],
        "mobiles": [{"number": mobile}, *(before.get("mobiles") or [])[1:]] if mobile else [],
    }


def username_of(form: Mapping[str, str]) -> str:
    """``vaino.osterberg`` for Väinö Österberg."""
    name = f"{form.get('given_name', '')}.{form.get('family_name', '')}".lower()
    return re.sub(r"[^a-z0-9.]+", "", unicodedata.normalize("NFKD", name))


def check_form(form: Mapping[str, str], required: tuple[str, ...]) -> None:
    """Raises Problem (400) with an error for each required field that is empty and each one too long."""
    errors = [FieldError(name, "required", "Please fill this in.") for name in required if not form.get(name)]
    errors += [
        FieldError(name, "too_long", f"At most {LONGEST} characters, please.")
        for name, value in form.items()
        if len(value) > LONGEST
    ]
    if errors:
        raise Problem(400, "Please check the marked fields.", tuple(errors))


def field_sentences(problem: Problem) -> dict[str, str]:
    """What stands beside each field of the form."""
    return {error.field: error.message for error in problem.errors}
