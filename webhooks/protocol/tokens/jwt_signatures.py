"""Verify a JSON Web Signature by a rule. The library verifies the signature; the rule decides algorithm and keys.

Nothing that a token says chooses its key or its algorithm: `jku`, `x5u`, `x5c` and `jwk` are not read, `crit` is
refused but for `b64` of a detached token, and `kid` only picks one of the keys that the source has.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError

from webhooks.protocol.hmac_rule import ENCODINGS
from webhooks.protocol.signature_reasons import SignatureReason
from webhooks.protocol.strict_json import MalformedBody, parse_json
from webhooks.protocol.tokens.jwt_rule import JwtRule
from webhooks.protocol.tokens.public_keys import PublicKey, load_key_set
from webhooks.protocol.verification_result import BadSignature, LiveSecret, VerifiedSignature, require_header

# The claims are as long as the header or the body that contains them may be.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,2048}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{1,2048}")
_DETACHED_TOKEN = re.compile(r"([A-Za-z0-9_-]{1,2048})\.\.([A-Za-z0-9_-]{1,2048})")
_ID = re.compile(r"[!-~]{1,255}")
_BEARER = re.compile(r"bearer +", re.IGNORECASE)


class UnknownKey(BadSignature):
    """A token names a key that the stored key set does not contain: the sender may have rotated its keys."""


def verify_jwt(
    rule: JwtRule,
    secrets: Sequence[LiveSecret],
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
    find_key_set: Callable[[str], str | None],
) -> VerifiedSignature:
    """Verify a token. `find_key_set` returns the cleaned key set of a URL, None if there is none.

    Raises BadSignature; UnknownKey if fetching the key set again may help.
    """
    token = _read_token(rule, headers, body)
    header = _read_header(rule, token)
    content = body if rule.is_detached else None
    secret_id, payload = _verify_with_any(rule, token, content, header, secrets, find_key_set)
    if rule.is_detached:
        return VerifiedSignature(secret_id)
    claims = _read_claims(payload)
    _check_claims(rule, claims, now)
    if rule.digest_claim is not None:
        _check_digest(claims.get(rule.digest_claim), rule.digest_encoding, body)
    webhook_id = None if rule.id_claim is None else claims.get(rule.id_claim)
    if rule.id_claim is not None and not (isinstance(webhook_id, str) and _ID.fullmatch(webhook_id)):
        raise BadSignature(SignatureReason.MALFORMED_TOKEN, "the token has no usable id")
    return VerifiedSignature(secret_id, webhook_id, body=payload if rule.header is None else None)


def _read_token(rule: JwtRule, headers: Mapping[str, str], body: bytes) -> str:
    if rule.field:
        text = _read_field(rule.field, body)
    elif rule.header is None:
        text = body.decode("latin-1").strip(" \t\r\n")
    else:
        text = require_header(headers, rule.header)
        bearer = _BEARER.match(text)
        text = text[bearer.end() :] if bearer else text
    if not (_DETACHED_TOKEN if rule.is_detached else _TOKEN).fullmatch(text):
        raise BadSignature(
            SignatureReason.MALFORMED_TOKEN,
            "there is no detached token" if rule.is_detached else "there is no token of three parts",
        )
    return text


def _read_field(names: Sequence[str], body: bytes) -> str:
    """Return the text to which the names lead in a JSON body, "" if there is none."""
    try:
        value = parse_json(body)
    except MalformedBody as error:
        raise BadSignature(SignatureReason.MALFORMED_BODY, "the body is no valid JSON") from error
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def _read_header(rule: JwtRule, token: str) -> Mapping[str, Any]:
    """Return the header of a token. Raises BadSignature if it asks for anything but what is configured."""
    try:
        header = PyJWS().get_unverified_header(token)
    except (PyJWTError, ValueError, RecursionError):
        raise BadSignature(
            SignatureReason.MALFORMED_TOKEN, "the header of the token cannot be read"
        ) from None
    if header.get("alg") != rule.algorithm:
        raise BadSignature(
            SignatureReason.WRONG_TOKEN, "the token has another algorithm than the configured one"
        )
    # RFC 7797, section 6: `b64` must be named in `crit`.
    is_unencoded = rule.is_detached and header.get("crit") == ["b64"] and header.get("b64") is False
    if ("crit" in header or "b64" in header) and not is_unencoded:
        raise BadSignature(SignatureReason.WRONG_TOKEN, "the token asks for an extension")
    if rule.token_type is not None and _full_type(header.get("typ", "")) != _full_type(rule.token_type):
        raise BadSignature(SignatureReason.WRONG_TOKEN, "the token has another type than the configured one")
    return header


def _full_type(token_type: Any) -> str:
    """Return the media type of a token, which may be written without `application/` (RFC 7515, section 4.1.9)."""
    text = str(token_type).lower()
    return text if "/" in text else f"application/{text}"


def _verify_with_any(
    rule: JwtRule,
    token: str,
    content: bytes | None,
    header: Mapping[str, Any],
    secrets: Sequence[LiveSecret],
    find_key_set: Callable[[str], str | None],
) -> tuple[int | str | None, bytes]:
    """Return the id of the secret that signed, None for a public key, and the payload. `content`: what a detached token
    signs.
    """
    if content is not None and "b64" not in header:
        # The signature covers the content in base64url, as if it were not detached.
        token, content = token.replace("..", f".{_encode_content(content)}."), None
    if rule.is_symmetric:
        keys: list[tuple[int | str | None, Any]] = [
            (secret.id, key) for secret in secrets if (key := rule.decode_secret(secret.value))
        ]
    else:
        keys = [(None, public_key.key) for public_key in _select_keys(rule, header, find_key_set)]
    if not keys:
        raise BadSignature(SignatureReason.NO_LIVE_SECRET, "the source has no usable key")
    # All are tried, also after a match: the time must not reveal which secret matched.
    attempts = [(key_id, _decode_with_key(rule, token, content, key)) for key_id, key in keys]
    match = next(((key_id, payload) for key_id, payload in attempts if payload is not None), None)
    if match is None:
        raise BadSignature(SignatureReason.WRONG_SIGNATURE, "the signature fits no key of the source")
    return match


def _select_keys(
    rule: JwtRule, header: Mapping[str, Any], find_key_set: Callable[[str], str | None]
) -> Sequence[PublicKey]:
    if rule.jwks_url is None:
        return rule.loaded_keys
    key_set = find_key_set(rule.jwks_url)
    if key_set is None:
        raise UnknownKey(SignatureReason.UNKNOWN_KEY, "the key set has not been fetched")
    keys = load_key_set(key_set, rule.algorithm)
    kid = header.get("kid")
    matching = keys if kid is None else [key for key in keys if key.kid == kid]
    if not matching:
        raise UnknownKey(SignatureReason.UNKNOWN_KEY, "the key set has no key with this id")
    return matching


def _encode_content(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode("ascii").rstrip("=")


def _decode_with_key(rule: JwtRule, token: str, content: bytes | None, key: Any) -> bytes | None:
    """Return the payload if the key signed the token."""
    try:
        decoded = PyJWS().decode_complete(
            token,
            key,
            algorithms=[rule.algorithm],
            options={"verify_signature": True, "enforce_minimum_key_length": True},
            detached_payload=content,
        )
    except (PyJWTError, ValueError, TypeError):
        return None
    payload: bytes = decoded["payload"]
    return payload


def _read_claims(payload: bytes) -> dict[str, Any]:
    try:
        claims = json.loads(payload)
    except (ValueError, RecursionError):
        raise BadSignature(SignatureReason.MALFORMED_TOKEN, "the claims are not JSON") from None
    if not isinstance(claims, dict):
        raise BadSignature(SignatureReason.MALFORMED_TOKEN, "the claims are not an object")
    return claims


def _check_claims(rule: JwtRule, claims: Mapping[str, Any], now: datetime) -> None:
    if rule.issuer is not None and claims.get("iss") != rule.issuer:
        raise BadSignature(SignatureReason.WRONG_TOKEN, "the token has another issuer")
    if rule.audience is not None:
        audience = claims.get("aud")
        if rule.audience not in (audience if isinstance(audience, list) else [audience]):
            raise BadSignature(SignatureReason.WRONG_TOKEN, "the token is for another audience")
    if rule.needs_expiry and "exp" not in claims:
        raise BadSignature(SignatureReason.WRONG_TOKEN, "the token has no end")
    at = now.timestamp()
    if "exp" in claims and at >= _read_seconds(claims["exp"]) + rule.leeway:
        raise BadSignature(SignatureReason.OLD_TIMESTAMP, "the token has expired")
    if "nbf" in claims and at < _read_seconds(claims["nbf"]) - rule.leeway:
        raise BadSignature(SignatureReason.OLD_TIMESTAMP, "the token is not valid yet")


def _read_seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        raise BadSignature(SignatureReason.MALFORMED_TOKEN, "a time of the token is not a number of seconds")
    return float(value)


def _check_digest(claim: Any, encoding: str, body: bytes) -> None:
    if not isinstance(claim, str) or not claim.isascii():
        raise BadSignature(SignatureReason.WRONG_TOKEN, "the token has no digest of the body")
    text = claim.lower() if encoding == "hex" else claim + "=" * (-len(claim) % 4)
    if not hmac.compare_digest(ENCODINGS[encoding](hashlib.sha256(body).digest()), text.encode("ascii")):
        raise BadSignature(SignatureReason.WRONG_SIGNATURE, "the digest in the token is that of another body")
