"""Sign a request as a sender does, with the headers that `signatures.verify_signature` accepts. Pure.

The console signs the test of a source with it.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import jwt
from jwt.api_jws import PyJWS

from webhooks.protocol.body_secret import BodySecret, add_secret
from webhooks.protocol.hmac_rule import (
    BODY,
    ENCODINGS,
    FIELDS,
    ID,
    METHOD,
    RFC_3339,
    TIME,
    URL,
    HmacRule,
    compute_hmac,
)
from webhooks.protocol.schemes import SecretHeader, decode_standard_key, read_settings
from webhooks.protocol.tokens.jwt_rule import JwtRule

# The rule of the scheme, the secret, the body, its id and the time.
RequestSigner = Callable[[Any, str, bytes, str, datetime], dict[str, str]]


def sign_request(
    scheme: str,
    settings: Mapping[str, Any],
    secret: str,
    body: bytes,
    webhook_id: str,
    at: datetime,
    *,
    method: str = "POST",
    url: str = "",
) -> dict[str, str]:
    """Return the headers that sign `body`, by lower-case name. `url` is where it is sent to. Raises KeyError for an
    unknown scheme.
    """
    rule = read_settings(scheme, settings)
    if isinstance(rule, HmacRule):
        return _sign_hmac(rule, secret, body, webhook_id, at, method, url)
    return _SIGNERS[scheme](rule, secret, body, webhook_id, at)


def _sign_standard_webhooks(
    _: object, secret: str, body: bytes, webhook_id: str, at: datetime
) -> dict[str, str]:
    seconds = str(int(at.timestamp()))
    content = b".".join((webhook_id.encode("ascii"), seconds.encode("ascii"), body))
    digest = hmac.digest(decode_standard_key(secret), content, hashlib.sha256)
    signature = f"v1,{base64.b64encode(digest).decode('ascii')}"
    return {"webhook-id": webhook_id, "webhook-timestamp": seconds, "webhook-signature": signature}


def sign_body(
    scheme: str, settings: Mapping[str, Any], secret: str, body: bytes, webhook_id: str, at: datetime
) -> bytes:
    """Return the body as it is sent: a token, if the source's settings say that the body is one."""
    rule = read_settings(scheme, settings)
    if isinstance(rule, BodySecret):
        return add_secret(rule, secret, body)
    if isinstance(rule, JwtRule) and rule.header is None:
        claims = json.loads(body)
        claims |= _claims_of(rule, body, webhook_id, at)
        token = _encode_token(rule, claims, secret)
        return _put_into_field(rule.field, token) if rule.field else token.encode("ascii")
    return body


def _sign_jwt(rule: JwtRule, secret: str, body: bytes, webhook_id: str, at: datetime) -> dict[str, str]:
    if rule.header is None:
        return {} if rule.field else {"content-type": "application/jwt"}
    if rule.is_detached:
        return {
            rule.header: PyJWS().encode(
                body, rule.decode_secret(secret), rule.algorithm, is_payload_detached=True
            )
        }
    token = _encode_token(rule, _claims_of(rule, body, webhook_id, at), secret)
    return {rule.header: f"Bearer {token}"}


def _put_into_field(names: Sequence[str], token: str) -> bytes:
    """Return the JSON body of a sender that puts its token into a field."""
    document: Any = token
    for name in reversed(names):
        document = {name: document}
    return json.dumps(document).encode()


def _encode_token(rule: JwtRule, claims: Mapping[str, Any], secret: str) -> str:
    headers = {"typ": rule.token_type} if rule.token_type else None
    return jwt.encode(dict(claims), rule.decode_secret(secret), algorithm=rule.algorithm, headers=headers)


def _claims_of(rule: JwtRule, body: bytes, webhook_id: str, at: datetime) -> dict[str, Any]:
    """Return the claims that the rule checks."""
    now = int(at.timestamp())
    claims: dict[str, Any] = {"iat": now, "exp": now + 300}
    claims |= {"iss": rule.issuer} if rule.issuer else {}
    claims |= {"aud": rule.audience} if rule.audience else {}
    if rule.digest_claim:
        claims[rule.digest_claim] = ENCODINGS[rule.digest_encoding](hashlib.sha256(body).digest()).decode(
            "ascii"
        )
    return claims | ({rule.id_claim: webhook_id} if rule.id_claim else {})


def _sign_hmac(
    rule: HmacRule, secret: str, body: bytes, webhook_id: str, at: datetime, method: str, url: str
) -> dict[str, str]:
    number = _write_time(at, rule.unit)
    values = {BODY: body, TIME: number.encode("ascii"), ID: webhook_id.encode("ascii")}
    # The console sends no form: its request is refused then, with the reason.
    content = rule.join_parts(values | {METHOD: method.encode(), URL: url.encode(), FIELDS: b""})
    digest = ENCODINGS[rule.encoding](
        compute_hmac(rule.decode_secret(secret), content, rule.algorithm)
    ).decode("ascii")
    headers: dict[str, list[str]] = {}
    for header, member, text in (
        (rule.header_of_time, rule.time, number),
        (rule.header_of_id, rule.id, webhook_id),
        (rule.header, rule.signature, rule.prefix + digest),
    ):
        if header is not None:
            headers.setdefault(header, []).append(text if member is None else f"{member}={text}")
    return {header: rule.member_separator.join(texts) for header, texts in headers.items()}


def _write_time(at: datetime, unit: str) -> str:
    if unit == RFC_3339:
        return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(int(at.timestamp() * (1000 if unit == "milliseconds" else 1)))


def _bearer_header(_: object, secret: str, *__: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def _basic_header(_: object, secret: str, *__: Any) -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(secret.encode()).decode('ascii')}"}


def _secret_header(rule: SecretHeader, secret: str, *_: Any) -> dict[str, str]:
    return {rule.header: secret}


def _no_headers(*_: Any) -> dict[str, str]:
    return {}


_SIGNERS: Mapping[str, RequestSigner] = {
    "standard-webhooks": _sign_standard_webhooks,
    "jwt": _sign_jwt,
    "bearer": _bearer_header,
    "basic": _basic_header,
    "header": _secret_header,
    "body-secret": _no_headers,
    "none": _no_headers,
}
