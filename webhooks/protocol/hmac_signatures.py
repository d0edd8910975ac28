"""Verify an HMAC by a rule: read signature, time and id where the rule says, and compute what the sender signed."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from webhooks.protocol.hmac_rule import (
    BODY,
    ENCODINGS,
    FIELDS,
    ID,
    METHOD,
    PLACEHOLDERS,
    TIME,
    URL,
    HmacRule,
    compute_hmac,
    join_fields,
)
from webhooks.protocol.signature_reasons import SignatureReason
from webhooks.protocol.strict_form import is_form, parse_form
from webhooks.protocol.strict_json import MalformedBody
from webhooks.protocol.verification_result import (
    MAX_SIGNATURES,
    BadSignature,
    LiveSecret,
    VerifiedSignature,
    find_matching_secret,
    header_bytes,
    parse_recent_time,
    require_header,
)

_ID = re.compile(r"[!-~]{1,255}")


def verify_hmac(
    rule: HmacRule,
    secrets: Sequence[LiveSecret],
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
    *,
    method: str = "POST",
    url: Callable[[], str] = str,
) -> VerifiedSignature:
    """Verify a request by a rule. `url` returns the address that the sender used; it is called only if that is signed.

    Raises BadSignature.
    """
    signed_at, webhook_id, values = None, None, {BODY: body}
    offered = _read_signatures(rule, headers)
    if rule.header_of_time is not None:
        text = _read_single_value(headers, rule.header_of_time, rule.time, rule.member_separator)
        signed_at = parse_recent_time(text, now, rule.unit, rule.window)
        values[TIME] = text.encode("ascii")
    if rule.header_of_id is not None:
        webhook_id = _read_single_value(headers, rule.header_of_id, rule.id, rule.member_separator)
        values[ID] = _check_id(webhook_id, rule)
    if METHOD in rule.signed:
        values[METHOD] = method.encode()
    if URL in rule.signed:
        values[URL] = _require_url(url)
    if FIELDS in rule.signed:
        values[FIELDS] = _read_fields(headers, body)
    if URL in rule.signed or ID in rule.signed:
        _check_borders(rule, values, is_form=is_form(headers.get("content-type", "")))
    content = rule.join_parts(values)
    encode = ENCODINGS[rule.encoding]
    expected = [
        (secret, encode(compute_hmac(key, content, rule.algorithm)))
        for secret in secrets
        if (key := rule.decode_secret(secret.value))
    ]
    return VerifiedSignature(find_matching_secret(expected, offered), webhook_id, signed_at)


def _read_signatures(rule: HmacRule, headers: Mapping[str, str]) -> list[bytes]:
    """Return the offered signatures, as their encoding writes them."""
    text = require_header(headers, rule.header)
    if rule.signature is not None:
        values = _named_values(text, rule.signature, rule.member_separator)
    elif rule.separator is not None:
        values = _split_values(text, rule.separator)
    else:
        values = [text]
    offered = [item.removeprefix(rule.prefix) for item in values if item.startswith(rule.prefix)]
    if not offered:
        raise BadSignature(
            SignatureReason.MALFORMED_HEADER,
            "the header has no signature with the configured name and prefix",
        )
    return [header_bytes(_normalize(item, rule.encoding)) for item in offered]


def _normalize(text: str, encoding: str) -> str:
    # Senders may write hexadecimal digits as capitals. In base64 case has a meaning.
    if encoding == "hex":
        return text.lower()
    # RFC 4648, section 3.2: senders of base64url commonly leave the padding out.
    return text + "=" * (-len(text) % 4) if encoding == "base64url" else text


def _read_single_value(headers: Mapping[str, str], header: str, member: str | None, separator: str) -> str:
    """Return a header or its only member of that name. Raises BadSignature if there is none, or more than one."""
    text = require_header(headers, header)
    values = [text] if member is None else _named_values(text, member, separator)
    if len(values) != 1:
        raise BadSignature(
            SignatureReason.MALFORMED_HEADER,
            "a header has no member of the configured name, or more than one",
        )
    return values[0]


def _split_values(text: str, separator: str) -> list[str]:
    # Bounded, because the sender is not verified yet and each signature costs comparisons.
    return [item.strip(" ") for item in text.split(separator, MAX_SIGNATURES)[:MAX_SIGNATURES]]


def _named_values(text: str, name: str, separator: str) -> list[str]:
    parts = [item.partition("=") for item in _split_values(text, separator)]
    return [value for member_name, _, value in parts if member_name == name]


def _check_id(webhook_id: str, rule: HmacRule) -> bytes:
    """Return the bytes of a signed id. Raises BadSignature if it contains the literal that ends it in the signed text:
    the same signature would fit another id and another body.
    """
    following = rule.signed[rule.signed.index(ID) + 1 :][:1]
    separators = [part for part in following if part not in PLACEHOLDERS]
    if not _ID.fullmatch(webhook_id) or any(part in webhook_id for part in separators):
        raise BadSignature(
            SignatureReason.MALFORMED_HEADER,
            "the id is not 1 to 255 printable characters without the separator",
        )
    return webhook_id.encode("ascii")


def _read_fields(headers: Mapping[str, str], body: bytes) -> bytes:
    """Return the signed text of a form. Raises BadSignature if the body is not a form."""
    if not is_form(headers.get("content-type", "")):
        raise BadSignature(
            SignatureReason.MALFORMED_BODY, "the fields of a form are signed, and the body is not a form"
        )
    try:
        return join_fields(parse_form(body))
    except MalformedBody as error:
        raise BadSignature(SignatureReason.MALFORMED_BODY, "the body is not a valid form") from error


def _check_borders(rule: HmacRule, values: Mapping[str, bytes], *, is_form: bool) -> None:
    """Check that the signed text can be split in one way only: otherwise an attacker who repeats a request could give
    it another id, body or query. Raises BadSignature.
    """
    # No end of a JSON object or list is one itself, and no beginning.
    is_whole = bool(values[BODY]) and not is_form
    if URL in rule.signed:
        query = b"".join(values[URL].partition(b"?")[1:])
        is_open = rule.has_ambiguous_url_end or rule.has_ambiguous_id_start(URL, values, query)
        if is_open or rule.query or not is_whole:
            _check_url(rule, values)
    if not is_whole and (
        rule.has_ambiguous_id_end
        or any(
            rule.has_ambiguous_id_start(part, values, values[part])
            for part in (BODY, FIELDS)
            if part in values
        )
    ):
        raise BadSignature(
            SignatureReason.MALFORMED_BODY, "the signed text does not say where the id and the body end"
        )


def _check_url(rule: HmacRule, values: Mapping[str, bytes]) -> None:
    """Check that the signed text can be split after a signed address in one way only. Raises BadSignature.

    The address of a source is fixed except for its query, which the settings say, and a slash at the end of its path.
    """
    query = values[URL].partition(b"?")[2]
    if query != (rule.query or "").encode():
        raise BadSignature(SignatureReason.WRONG_QUERY, "the query of the address differs from the settings")
    if not query and any(text.startswith(b"/") for text in rule.list_texts_after_url(values)):
        raise BadSignature(
            SignatureReason.MALFORMED_BODY, "what is signed after the address begins with a slash"
        )


def _require_url(url: Callable[[], str]) -> bytes:
    text = url()
    if not text:
        raise BadSignature(
            SignatureReason.INVALID_SETTINGS, "the address is signed, and PUBLIC_URL is not set"
        )
    return text.encode()
