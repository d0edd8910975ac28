"""Search a stored body for the id of an entity, in every spelling that a sender may have given it. Pure."""

import base64
import codecs
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress

from connectors.values.escapes import unescape

_ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
# In the alphabet of URLs too: a JSON Web Token is three of them.
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{4,}")


def encode_id_variants(entity_id: str) -> tuple[bytes, ...]:
    """Return the id in every encoding that a body may have: what is no UTF-8 is refused, and stored until then."""
    variants = [entity_id.encode(name) for name in _ENCODINGS]
    # Latin-1 lacks most letters.
    with suppress(UnicodeEncodeError):
        variants.append(entity_id.encode("latin-1"))
    return *variants, json.dumps(entity_id)[1:-1].encode()


def contains_id(body: bytes, id_variants: Sequence[bytes]) -> bool:
    """True if a body contains the id: as it is, escaped (PHP writes each `/` as `\\/`, a form may contain JSON), or in
    a value that is written as base64.
    """
    return any(text in reading for reading in _read_in_all_ways(body) for text in id_variants)


def _read_in_all_ways(body: bytes) -> Iterator[bytes]:
    plain = unescape(body)
    yield from (body, plain, unescape(plain))
    values = (_decode_base64(token) for token in _BASE64.findall(plain))
    # Most words and numbers could be base64 too, but not of a text. With a byte between them, so that the end of one
    # and the beginning of the next do not make an id.
    decoded = b"\n".join(value for value in values if is_text(value))
    yield from (decoded, unescape(decoded))


def _decode_base64(token: bytes) -> bytes:
    text = token.translate(bytes.maketrans(b"-_", b"+/"))
    # What is missing of the last four characters: the end of the value, or of what is stored of a body.
    whole = text if len(text) % 4 != 1 else text[:-1]
    return base64.b64decode(whole + b"=" * (-len(whole) % 4))


def is_text(body: bytes) -> bool:
    """True if a body, or its stored beginning, is UTF-8: of others a search proves nothing, as they may be packed."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(body)
    except UnicodeDecodeError:
        return False
    return True
