"""Hash of JSON values, cheap enough to compute for every attempt. Pure."""

import json
import marshal
from hashlib import blake2b
from typing import Any


def fingerprint_json(*values: Any) -> bytes:
    """Return a hash that is equal only for equal content: `true` and `1` differ. No secret can be read from it.

    Objects with fields in another order may get another hash. Raises TypeError, ValueError or RecursionError
    for values that are not JSON.
    """
    try:
        # Version 2 writes no references, by which equal values could differ.
        text = marshal.dumps(values, 2)
    except ValueError:
        # A subclass of a plain type.
        text = json.dumps(values, sort_keys=True).encode()
    return blake2b(text, digest_size=16).digest()
