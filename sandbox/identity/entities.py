"""The identity service's entities and what may be written into them."""

import re
import secrets
from collections.abc import Mapping
from typing import Any

from sandbox.base.clock import utc_now
from sandbox.base.collections import Collections
from sandbox.base.store import Record
from sandbox.http.messages import FieldError, Problem
from sandbox.identity.seed import SEEDS

ENTITY_TYPES = {"users": "USER", "groups": "GROUP", "files": "FILE"}

_OWN = ("id", "meta", "version")
_REQUIRED = {"users": "username", "groups": "name", "files": "name"}
_LISTS = {"emails": "address", "mobiles": "number"}
_TEXTS = ("username", "locale", "description", "contentType", "url", "ownerId")
_TEXT_LISTS = ("memberOf", "members")
_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._~:@|+=-]{0,126}[A-Za-z0-9_~:@|+=-])?")
"""What the hub's contract lets an entity's id be, the widest choice."""


class Directory(Collections):
    """Writes keep ``version`` and ``meta`` themselves."""

    def seed(self) -> None:
        for collection, entities in SEEDS.items():
            for key, entity in entities.items():
                self.create(collection, {"id": key, **entity})

    def create(self, collection: str, body: Mapping[str, object]) -> Record:
        """A new entity under its ``id``, or under a new one where the body has none."""
        _check(collection, body, whole=True)
        key = body.get("id") or secrets.token_hex(12)
        if not isinstance(key, str) or not _ID.fullmatch(key):
            raise Problem(400, "id must be a text of 1 to 128 characters such as A-Z, 0-9, dot and hyphen.")
        now = utc_now()
        own = {"version": 1, "meta": {"created": now, "lastModified": now}}
        entity = {"id": key, **_without_own(body), **own}
        with self._store.lock:
            if self._store.get(collection, key):
                raise Problem(409, "This id is already in use.")
            self._store.put(collection, key, entity)
        return entity

    def change(self, collection: str, key: str, body: Mapping[str, object], *, whole: bool) -> Record:
        _check(collection, body, whole=whole)
        with self._store.lock:
            before = self.get(collection, key)
            kept = {name: before[name] for name in _OWN} if whole else before
            meta = before["meta"] | {"lastModified": max(utc_now(), before["meta"]["lastModified"])}
            entity = kept | _without_own(body) | {"meta": meta, "version": before["version"] + 1}
            self._store.put(collection, key, entity)
        return entity


def _without_own(body: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in body.items() if name not in _OWN}


def _check(collection: str, body: Mapping[str, Any], *, whole: bool) -> None:
    required = _REQUIRED[collection]
    if (whole or required in body) and not (isinstance(body.get(required), str) and body[required]):
        raise Problem(400, f"{required} must be a text.")
    _check_kinds(body)
    if collection == "users":
        _check_user(body)


def _check_kinds(body: Mapping[str, Any]) -> None:
    """Members of any collection that the pages show must be what they are shown as."""
    for name in _TEXTS:
        if not isinstance(body.get(name), str | None):
            raise Problem(400, f"{name} must be a text.")
    for name in _TEXT_LISTS:
        values = body.get(name) or []
        if not (isinstance(values, list) and all(isinstance(each, str) for each in values)):
            raise Problem(400, f"{name} must be a list of texts.")


def _check_user(body: Mapping[str, Any]) -> None:
    name = body.get("name") or {}
    if not isinstance(name, dict) or not all(isinstance(each, str | None) for each in name.values()):
        raise Problem(400, "name must be an object of texts.")
    for name, member in _LISTS.items():
        values = body.get(name) or []
        if not (isinstance(values, list) and all(_has_text(each, member) for each in values)):
            raise Problem(400, f"{name} must be a list of objects with {member}.")
    for email in body.get("emails") or []:
        _check_email(email["address"])


def _has_text(value: object, member: str) -> bool:
    return isinstance(value, dict) and isinstance(value.get(member), str)


def _check_email(address: str) -> None:
    name, _, domain = address.partition("@")
    if not name or not domain or any(character.isspace() for character in address):
        sentence = "This is not an e-mail address."
        raise Problem(400, sentence, (FieldError("email", "invalid", sentence),))
