"""The scheme `body-secret`: a secret in a field of the body, for senders that offer nothing else. Pure.

It is weaker than a signature: anyone who reads one webhook can send others. The secret is removed before the body is
stored.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from config_schema.declared import Declared, setting
from config_schema.kinds import ConvertedText
from webhooks.protocol.signature_reasons import SignatureReason
from webhooks.protocol.strict_form import encode_form, parse_form
from webhooks.protocol.strict_json import MalformedBody, parse_json
from webhooks.protocol.verification_result import (
    MAX_SIGNATURES,
    BadSignature,
    LiveSecret,
    VerifiedSignature,
    find_matching_secret,
    secret_bytes,
)

_STEP = r"[A-Za-z_@$][A-Za-z0-9_@$-]{0,63}(?:\[\])?"
_REMOVED = "***"
_MIN_REPEATED_LENGTH = 8
# The name of each field, and True if it holds a list.
_Steps = tuple[tuple[str, bool], ...]


def _split_path(path: str) -> _Steps:
    return tuple((step.removesuffix("[]"), step.endswith("[]")) for step in path.split("."))


def _join_steps(steps: _Steps) -> str:
    return ".".join(f"{name}[]" if is_list else name for name, is_list in steps)


class BodySecret(Declared):
    """Settings of the scheme `body-secret`."""

    field: _Steps = setting(
        ConvertedText(
            re.compile(rf"{_STEP}(?:\.{_STEP}){{0,7}}(?<!\])"),
            "field names separated by dots, at most 8 levels; add `[]` after a list, for example `data.items[].key`",
            "This must be field names separated by dots, with [] after each list.",
            convert=_split_path,
            write=_join_steps,
        ),
        "The field of the body that holds the secret. With `[]`, the field of each item of a list: all items "
        "must hold it. In a form, further names lead into the JSON of a field.",
        example="value[].clientState",
    )


def verify_body_secret(
    rule: BodySecret, secrets: Sequence[LiveSecret], body: bytes, *, is_form: bool = False
) -> VerifiedSignature:
    """Compare the secrets in a body with those of its source. Returns the body without them. Raises BadSignature."""
    try:
        document = _parse_form(body, rule.field) if is_form else parse_json(body)
    except MalformedBody as error:
        raise BadSignature(
            SignatureReason.MALFORMED_BODY, f"the body is not {'a valid form' if is_form else 'valid JSON'}"
        ) from error
    removed = list(_remove_secrets(document, rule.field))
    # Most senders repeat one secret. Each other one costs comparisons.
    secrets_found = list(dict.fromkeys(removed))
    if not 1 <= len(secrets_found) <= MAX_SIGNATURES or not all(
        isinstance(value, str) for value in secrets_found
    ):
        raise BadSignature(SignatureReason.SECRET_MISSING, "a secret is missing in the body, or not a string")
    expected = secret_bytes(secrets)
    secret_ids = [find_matching_secret(expected, [value.encode()]) for value in secrets_found]
    return VerifiedSignature(secret_ids[0], body=_encode_masked(document, secrets_found, is_form=is_form))


def remove_body_secret(rule: BodySecret, body: bytes, *, is_form: bool = False) -> bytes:
    """Return a body that was not verified without what it has in the place of the secret; b"" if it is malformed."""
    try:
        document = _parse_form(body, rule.field) if is_form else parse_json(body)
    except MalformedBody:
        return b""
    removed = {value for value in _remove_secrets(document, rule.field) if isinstance(value, str)}
    # Anyone can send one that is shorter, to have many places of the body replaced.
    long_ones = sorted(value for value in removed if len(value) >= _MIN_REPEATED_LENGTH)
    return _encode_masked(document, long_ones[:MAX_SIGNATURES], is_form=is_form)


def _encode_masked(document: Any, secrets: Sequence[str], *, is_form: bool) -> bytes:
    """Return a document as the body that it was read from, without the secrets in its texts."""
    if is_form:
        fields = {
            _mask_in_text(name, secrets): _mask_secrets(value, secrets) for name, value in document.items()
        }
        return encode_form(fields)
    return _mask_in_json(document, secrets).encode()


def _parse_form(body: bytes, steps: _Steps) -> dict[str, Any]:
    """Return the fields of a form. The one that a path of several steps begins with is read as JSON."""
    fields: dict[str, Any] = dict(parse_form(body))
    name = steps[0][0]
    if len(steps) > 1 and name in fields:
        fields[name] = parse_json(fields[name].encode())
    return fields


def _mask_secrets(field: Any, secrets: Sequence[str]) -> str:
    return _mask_in_text(field, secrets) if isinstance(field, str) else _mask_in_json(field, secrets)


def _mask_in_text(text: str, secrets: Sequence[str]) -> str:
    """Replace the secrets in a text, which may be JSON: the sender may repeat them elsewhere."""
    for secret in secrets:
        spellings = (secret, _encode_json(secret)[1:-1], json.dumps(secret)[1:-1])
        for spelling in spellings:
            # PHP escapes each slash.
            text = text.replace(spelling, _REMOVED).replace(spelling.replace("/", "\\/"), _REMOVED)
    return text


def _mask_in_json(document: Any, secrets: Sequence[str]) -> str:
    """Return a document as JSON, without the secrets in its texts."""
    text = _encode_json(document)
    for secret in secrets:
        text = text.replace(_encode_json(secret)[1:-1], _REMOVED)
    return text


def _encode_json(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def add_secret(rule: BodySecret, secret: str, body: bytes) -> bytes:
    """Return the body as a sender sends it: with the secret in its field."""
    document: Any = json.loads(body)
    innermost = document
    *parents, last_step = rule.field
    for name, is_list in parents:
        inner: dict[str, Any] = {}
        innermost[name] = [inner] if is_list else inner
        innermost = inner
    innermost[last_step[0]] = secret
    return json.dumps(document, separators=(",", ":")).encode()


def _remove_secrets(document: Any, steps: _Steps) -> Iterator[Any]:
    """Remove the secret at each match of a path and yield it. Yields None where a part of the path is missing."""
    (name, is_list), remaining_steps = steps[0], steps[1:]
    if not isinstance(document, dict) or name not in document:
        yield None
    elif not remaining_steps:
        value = document.pop(name)
        # Other types could not be told apart from each other, or not be compared.
        yield value if isinstance(value, str) else None
    elif not is_list:
        yield from _remove_secrets(document[name], remaining_steps)
    else:
        items = document[name]
        for item in items if isinstance(items, list) else [None]:
            yield from _remove_secrets(item, remaining_steps)
