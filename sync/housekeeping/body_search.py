"""Search a stored body for the id of an entity, in every spelling that a sender may have given it. Pure."""

import json
from collections.abc import Sequence
from contextlib import suppress

from connectors.values.escapes import unescape

_ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")


def encode_id_variants(entity_id: str) -> tuple[bytes, ...]:
    """Return the id in every encoding that a body may have: what is no UTF-8 is refused, and stored until then."""
    variants = [entity_id.encode(name) for name in _ENCODINGS]
    # Latin-1 lacks most letters.
    with suppress(UnicodeEncodeError):
        variants.append(entity_id.encode("latin-1"))
    return *variants, json.dumps(entity_id)[1:-1].encode()


def contains_id(body: bytes, id_variants: Sequence[bytes]) -> bool:
    """True if a body contains the id, as it is or escaped."""
    # Senders escape what JSON and forms let them escape: PHP writes each `/` as `\\/`. A form may contain JSON.
    plain = unescape(body)
    readings = (body, plain, unescape(plain))
    return any(text in reading for reading in readings for text in id_variants)
