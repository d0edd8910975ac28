"""The entities of the identity service, and the checks of what clients write."""

import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.base.clock import utc_now
from sandbox.base.collections import RecordCollections
from sandbox.base.store import Record, RecordStore
from sandbox.http.messages import FieldError, HttpError
from sandbox.identity.seed import SEEDS

ENTITY_TYPES = {"users": "USER", "groups": "GROUP", "files": "FILE"}

_READ_ONLY = ("id", "meta", "version")
_REQUIRED_FIELDS = {"users": "username", "groups": "name", "files": "name"}
_OBJECT_LISTS = {"emails": "address", "mobiles": "number"}
_TEXT_FIELDS = ("username", "locale", "description", "contentType", "url", "ownerId")
_TEXT_LISTS = ("memberOf", "members")
_ID_PATTERN = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9._~:@|+=-]{0,126}[A-Za-z0-9_~:@|+=-])?")
"""The ids that the hub's contract allows, with all extra characters that a source may allow."""


class EntityDirectory(RecordCollections):
    """The users, groups and files. A write sets ``version`` and ``meta``; a client cannot.

    ``has_numeric_ids`` says whether new entities get digits as their id.
    """

    def __init__(self, store: RecordStore, has_numeric_ids: Callable[[], bool]) -> None:
        super().__init__(store)
        self._has_numeric_ids = has_numeric_ids

    def seed(self) -> None:
        for collection, entities in SEEDS.items():
            for key, entity in entities.items():
                self.create_record(collection, {"id": key, **entity})

    def create_record(self, collection: str, body: Mapping[str, object]) -> Record:
        """Check and store a new entity under the ``id`` of its body, or under a generated id. Returns it."""
        _check_body(collection, body, replaces=True)
        key = body.get("id") or self._generate_id()
        if not isinstance(key, str) or not _ID_PATTERN.fullmatch(key):
            raise HttpError(400, "id must be a text of 1 to 128 characters such as A-Z, 0-9, dot and hyphen.")
        now = utc_now()
        read_only = {"version": 1, "meta": {"created": now, "lastModified": now}}
        entity = {"id": key, **_without_read_only(body), **read_only}
        with self._store.lock:
            if self._store.get_record(collection, key):
                raise HttpError(409, "This id is already in use.")
            self._store.put_record(collection, key, entity)
        return entity

    def update_record(
        self, collection: str, key: str, body: Mapping[str, object], *, replaces: bool
    ) -> Record:
        _check_body(collection, body, replaces=replaces)
        with self._store.lock:
            before = self.get_record(collection, key)
            base = {name: before[name] for name in _READ_ONLY} if replaces else before
            meta = before["meta"] | {"lastModified": max(utc_now(), before["meta"]["lastModified"])}
            entity = base | _without_read_only(body) | {"meta": meta, "version": before["version"] + 1}
            self._store.put_record(collection, key, entity)
        return entity

    def _generate_id(self) -> str:
        return str(10**11 + secrets.randbelow(10**11)) if self._has_numeric_ids() else secrets.token_hex(12)

    def verify_email(self, key: str, address: str | None = None) -> Record:
        """Mark one address of a user as verified, the first one unless another is named. Returns the user.

        Raises HttpError (404) for an unknown user, and 400 for an address that the user does not have.
        """
        with self._store.lock:
            emails = self.get_record("users", key).get("emails") or []
            wanted = address or (emails[0]["address"] if emails else None)
            if wanted not in [email["address"] for email in emails]:
                raise HttpError(400, "The user does not have this address.")
            marked = [email | ({"verified": True} if email["address"] == wanted else {}) for email in emails]
            return self.update_record("users", key, {"emails": marked}, replaces=False)


def _without_read_only(body: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in body.items() if name not in _READ_ONLY}


def _check_body(collection: str, body: Mapping[str, Any], *, replaces: bool) -> None:
    required = _REQUIRED_FIELDS[collection]
    if (replaces or required in body) and not (isinstance(body.get(required), str) and body[required]):
        raise HttpError(400, f"{required} must be a text.")
    _check_field_types(body)
    if collection == "users":
        _check_user_fields(body)


def _check_field_types(body: Mapping[str, Any]) -> None:
    """Raise HttpError (400) if a field that the pages show, of any collection, is of another type."""
    for name in _TEXT_FIELDS:
        if not isinstance(body.get(name), str | None):
            raise HttpError(400, f"{name} must be a text.")
    for name in _TEXT_LISTS:
        values = body.get(name) or []
        if not (isinstance(values, list) and all(isinstance(value, str) for value in values)):
            raise HttpError(400, f"{name} must be a list of texts.")


def _check_user_fields(body: Mapping[str, Any]) -> None:
    name = body.get("name") or {}
    if not isinstance(name, dict) or not all(isinstance(part, str | None) for part in name.values()):
        raise HttpError(400, "name must be an object of texts.")
    for name, field in _OBJECT_LISTS.items():
        values = body.get(name) or []
        if not (isinstance(values, list) and all(_is_object_with_text(value, field) for value in values)):
            raise HttpError(400, f"{name} must be a list of objects with {field}.")
    for email in body.get("emails") or []:
        _check_email(email["address"])


def _is_object_with_text(value: object, field: str) -> bool:
    return isinstance(value, dict) and isinstance(value.get(field), str)


def _check_email(address: str) -> None:
    name, _, domain = address.partition("@")
    if not name or not domain or any(character.isspace() for character in address):
        message = "This is not an e-mail address."
        raise HttpError(400, message, (FieldError("email", "invalid", message),))
