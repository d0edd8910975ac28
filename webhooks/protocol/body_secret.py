"""The scheme `body-secret`: a secret in a field of the body, for senders that offer nothing else. Pure.

It is weaker than a signature: whoever reads one webhook can send others. The secret is removed before the body is
stored.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from config_schema.kinds import Text
from config_schema.settings import required
from config_schema.translatable import translatable
from webhooks.protocol.signature_reasons import SignatureReason
from webhooks.protocol.strict_json import MalformedBody, parse_json
from webhooks.protocol.verified import (
    MAX_SIGNATURES,
    BadSignature,
    LiveSecret,
    VerifiedSignature,
    find_matching_secret,
    secret_bytes,
)

_STEP = r"[A-Za-z_@$][A-Za-z0-9_@$-]{0,63}(?:\[\])?"
_PATH = re.compile(rf"{_STEP}(?:\.{_STEP}){{0,7}}(?<!\])")
_REMOVED = "***"
FIELD = required(
    "field",
    Text(
        _PATH,
        translatable("names separated by full stops, at most 8; `[]` after a list"),
        translatable("This must be names of fields separated by full stops, with [] after each list."),
    ),
    "The field of the body that holds the secret. With `[]`, that of each item of a list: all must hold it.",
    example="value[].clientState",
)


def verify_body_secret(
    settings: Mapping[str, Any], secrets: Sequence[LiveSecret], body: bytes
) -> VerifiedSignature:
    """Compare the secrets in a body with those of the source. Returns the body without them. Raises BadSignature."""
    steps = _read_steps(settings)
    try:
        document = parse_json(body)
    except MalformedBody as error:
        raise BadSignature(SignatureReason.MALFORMED_BODY, "the body is no valid JSON") from error
    taken = list(_take(document, steps))
    # Most senders repeat one secret. Each other one costs comparisons.
    offered = list(dict.fromkeys(taken))
    if not 1 <= len(offered) <= MAX_SIGNATURES or not all(isinstance(value, str) for value in offered):
        raise BadSignature(SignatureReason.SECRET_MISSING, "a secret is missing in the body, or is no text")
    expected = secret_bytes(secrets)
    found = [find_matching_secret(expected, [value.encode()]) for value in offered]
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    for value in offered:
        # The sender may repeat it elsewhere.
        text = text.replace(json.dumps(value, ensure_ascii=False)[1:-1], _REMOVED)
    return VerifiedSignature(found[0], body=text.encode())


def add_secret(settings: Mapping[str, Any], secret: str, body: bytes) -> bytes:
    """Return the body as a sender sends it: with the secret in its field."""
    document: Any = json.loads(body)
    place = document
    *parents, last = _read_steps(settings)
    for name, is_list in parents:
        inner: dict[str, Any] = {}
        place[name] = [inner] if is_list else inner
        place = inner
    place[last[0]] = secret
    return json.dumps(document, separators=(",", ":")).encode()


def _read_steps(settings: Mapping[str, Any]) -> list[tuple[str, bool]]:
    path = str(settings.get("field", ""))
    if not _PATH.fullmatch(path):
        raise BadSignature(SignatureReason.INVALID_SETTINGS, "the source's settings are not valid")
    return [(step.removesuffix("[]"), step.endswith("[]")) for step in path.split(".")]


def _take(document: Any, steps: list[tuple[str, bool]]) -> Iterator[Any]:
    """Remove each value at a path and yield it. Yields None where a part of the path is missing."""
    (name, is_list), rest = steps[0], steps[1:]
    if not isinstance(document, dict) or name not in document:
        yield None
    elif not rest:
        value = document.pop(name)
        # Other types could not be told apart from each other, or not be compared.
        yield value if isinstance(value, str) else None
    elif not is_list:
        yield from _take(document[name], rest)
    else:
        items = document[name]
        for item in items if isinstance(items, list) else [None]:
            yield from _take(item, rest)
