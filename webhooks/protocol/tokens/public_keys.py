"""Public keys that verify a JWS: from PEM, and from a JSON Web Key Set (RFC 7517). Bounded in size and number. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK
from jwt.exceptions import PyJWTError

ASYMMETRIC = ("RS256", "ES256", "EdDSA")
MAX_KEYS = 32
MAX_KEY_SET_BYTES = 65_536
_MAX_PEM_LENGTH = 4_096
_MAX_KID_LENGTH = 256
# Larger ones make each verification slow.
_RSA_BITS = range(2_048, 8_193)
# The public members (RFC 7518, section 6; RFC 8037). A private part is never stored.
_KEY_FIELDS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_KINDS = {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key, and its id if it has one."""

    key: Any = field(repr=False)
    kid: str | None = None


def fits_algorithm(key: Any, algorithm: str) -> bool:
    """Return True if a key is of the only kind and size that the algorithm may use."""
    if algorithm == "RS256":
        return isinstance(key, RSAPublicKey) and key.key_size in _RSA_BITS
    if algorithm == "ES256":
        return isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    return algorithm == "EdDSA" and isinstance(key, Ed25519PublicKey)


@lru_cache(maxsize=256)
def load_pem(text: str, algorithm: str) -> PublicKey:
    """Load a public key. Raises ValueError with a sentence if it is not a key for the algorithm."""
    if len(text) > _MAX_PEM_LENGTH:
        raise ValueError(f"This must be at most {_MAX_PEM_LENGTH:,} characters.")
    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("This must be a public key in PEM, from BEGIN PUBLIC KEY on.") from None
    if not fits_algorithm(key, algorithm):
        raise ValueError(f"This must be a key for {algorithm}.")
    return PublicKey(key)


def clean_key_set(body: bytes) -> str:
    """Return the usable keys of a key set as JSON, without anything else that it holds.

    Raises ValueError with a sentence if it is no key set, is too large, or has no usable key.
    """
    if len(body) > MAX_KEY_SET_BYTES:
        raise ValueError(f"The key set is larger than {MAX_KEY_SET_BYTES:,} bytes.")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("The key set is not JSON.") from None
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise ValueError("The key set has no list of keys.")
    if len(keys) > MAX_KEYS:
        raise ValueError(f"The key set has more than {MAX_KEYS} keys.")
    usable = [clean for key in keys if (clean := _clean_key(key)) is not None]
    if not usable:
        raise ValueError("The key set has no key for RS256, ES256 or EdDSA.")
    return json.dumps(usable)


def _clean_key(key: Any) -> dict[str, str] | None:
    """Return a key without members that no verification needs; None if it is for none of the algorithms."""
    if not isinstance(key, Mapping) or key.get("use", "sig") != "sig":
        return None
    names = _KEY_FIELDS.get(key.get("kty", "")) if isinstance(key.get("kty"), str) else None
    kid, algorithm = key.get("kid"), key.get("alg")
    if names is None or not all(isinstance(key.get(name), str) for name in names):
        return None
    if kid is not None and not (isinstance(kid, str) and len(kid) <= _MAX_KID_LENGTH):
        return None
    clean = {"kty": key["kty"], **{name: key[name] for name in names}}
    clean |= {"kid": kid} if kid is not None else {}
    clean |= {"alg": algorithm} if isinstance(algorithm, str) else {}
    return clean if any(_load_jwk(clean, name) is not None for name in ASYMMETRIC) else None


@lru_cache(maxsize=64)
def load_key_set(cleaned: str, algorithm: str) -> tuple[PublicKey, ...]:
    """Return the keys of a cleaned key set that are for the algorithm."""
    loaded = (_load_jwk(key, algorithm) for key in json.loads(cleaned))
    return tuple(key for key in loaded if key is not None)


def _load_jwk(key: Mapping[str, str], algorithm: str) -> PublicKey | None:
    if key["kty"] != _KINDS[algorithm] or key.get("alg", algorithm) != algorithm:
        return None
    try:
        loaded = PyJWK(dict(key), algorithm).key
    except (PyJWTError, ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return PublicKey(loaded, key.get("kid")) if fits_algorithm(loaded, algorithm) else None
