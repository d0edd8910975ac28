"""A short key for the content of JSON values, cheap enough to be made for every attempt. Pure."""

import json
import marshal
from hashlib import blake2b
from typing import Any


def fingerprint_json(*values: Any) -> bytes:
    """Equal only for equal content, `true` and `1` apart; a digest, so that a secret is not kept in a key.

    Objects whose members stand in another order may get another one. TypeError, ValueError or RecursionError
    for what is not JSON.
    """
    try:
        text = marshal.dumps(values, 2)
    except ValueError:  # a subclass of a plain type
        text = json.dumps(values, sort_keys=True).encode()
    return blake2b(text, digest_size=16).digest()
