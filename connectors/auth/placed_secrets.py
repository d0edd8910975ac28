"""Put secrets into the query, the body or a header of a prepared request, right before it is sent."""

import json
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, quote_plus, unquote_plus

from config_schema.errors import SettingsInvalid
from connectors.exchange import PreparedRequest
from connectors.settings.credentials import SecretPlace
from connectors.settings.schemes.base import Authentication
from connectors.settings.setting_kinds import is_header_value
from connectors.values.secret_scrubber import MASK

_FORM_TYPE = "application/x-www-form-urlencoded"


class PlacedSecret(NamedTuple):
    """A secret and its place in requests."""

    place: SecretPlace
    value: str

    def __repr__(self) -> str:
        return f"<PlacedSecret {self.place.kind} {self.place.name}>"


def place_credentials(scheme: Authentication, credentials: Mapping[str, str]) -> tuple[PlacedSecret, ...]:
    """Return the secrets that are sent elsewhere than in the header of the scheme. Raises SettingsInvalid for one that
    cannot be sent.
    """
    placed = tuple(PlacedSecret(place, credentials[place.credential]) for place in scheme.secret_places)
    for secret in placed:
        if not is_header_value(secret.value):
            raise SettingsInvalid(
                ("credentials", secret.place.credential),
                "This credential contains characters that cannot be sent.",
            )
    return placed


def list_secret_headers(secrets: tuple[PlacedSecret, ...]) -> dict[str, str]:
    """Return the headers that contain secrets."""
    return {secret.place.name: secret.value for secret in secrets if secret.place.kind == "header"}


def mask_placed(secrets: tuple[PlacedSecret, ...]) -> tuple[PlacedSecret, ...]:
    """Return the same places with `***` in place of the secrets, for the record of a request."""
    return tuple(secret._replace(value=MASK) for secret in secrets)


def place_secrets(call: PreparedRequest, secrets: tuple[PlacedSecret, ...]) -> PreparedRequest:
    """Return the request with the secrets in its query and its body."""
    for secret in secrets:
        name, value = secret.place.name, secret.value
        body = _add_to_body(call, name, value) if secret.place.kind == "body" else None
        if body is not None:
            call = call._replace(body=body)
        elif secret.place.kind != "header":
            call = call._replace(url=_add_to_query(call.url, name, value))
    return call


def _add_to_body(call: PreparedRequest, name: str, value: str) -> bytes | None:
    """Return the body with one more field; None if it is neither a form nor a JSON object."""
    if call.body is None:
        return None
    types = [text for header, text in call.headers.items() if header.lower() == "content-type"]
    if types and types[-1].partition(";")[0].strip().lower() == _FORM_TYPE:
        # As the first field: a form that is cut at a limit keeps it.
        field = f"{quote_plus(name)}={quote_plus(value, safe='*')}".encode("ascii")
        return field + (b"&" + call.body if call.body else b"")
    if not call.body.startswith(b"{"):
        return None
    rest = call.body[1:].lstrip()
    member = f"{json.dumps(name)}: {json.dumps(value)}".encode("ascii")
    return b"{" + member + (b"" if rest.startswith(b"}") else b", ") + rest


def _add_to_query(url: str, name: str, value: str) -> str:
    """Return the URL with the parameter, which takes the place of one of its name: the address of a next page may
    repeat it.
    """
    address, _, query = url.partition("?")
    others = [part for part in query.split("&") if part and unquote_plus(part.partition("=")[0]) != name]
    added = f"{quote(name, safe='')}={quote(value, safe='*')}"
    return f"{address}?{'&'.join([*others, added])}"
