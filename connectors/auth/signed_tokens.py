"""Sign tokens (RFC 7519): one for each request, and the assertions of `private_key_jwt` (RFC 7523)."""

import binascii
import time
import uuid
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import jwt

from config_schema.errors import SettingsInvalid
from connectors.exchange import TokenSender
from connectors.settings.credentials import Credentials
from connectors.settings.schemes.signatures import SignedTokenAuthentication
from connectors.settings.setting_kinds import is_header_value
from connectors.settings.signed_token import SignedToken
from connectors.values.secret_forms import SecretSet

# RFC 7518, 3.2: as many bytes as the hash has.
_MIN_SECRET_BYTES = 32
# What the libraries raise for a key that cannot be read, or that does not fit the algorithm.
_KEY_ERRORS = (jwt.PyJWTError, ValueError, TypeError, AttributeError)


class TokenSigner:
    """Signs tokens with one key. Raises SettingsInvalid if the key does not fit the algorithm. `encoding`: of the
    shared secret of HS256.
    """

    def __init__(self, settings: SignedToken, key: str, encoding: str = "text") -> None:
        self._settings = settings
        self._headers = {} if settings.key_id is None else {"kid": settings.key_id}
        try:
            # Once: reading a private key takes longer than signing with it.
            self._key = jwt.get_algorithm_by_name(settings.algorithm).prepare_key(
                _read_key(settings.algorithm, key, encoding)
            )
            self.sign_token({})
        except SettingsInvalid:
            raise
        except _KEY_ERRORS:
            sentence = f"This is not a key for {settings.algorithm}, or a claim has the wrong type."
            raise SettingsInvalid(("credentials", "signing_key"), sentence) from None

    def __repr__(self) -> str:
        return "<TokenSigner>"

    def sign_token(self, claims: Mapping[str, Any]) -> str:
        """Return a new token with these claims, the claims of the settings, `iat`, `exp` and `jti`."""
        now = int(time.time())
        own = {"iat": now, "exp": now + self._settings.lifetime, "jti": str(uuid.uuid4())}
        payload = {**self._settings.claims, **claims, **own}
        return jwt.encode(payload, self._key, self._settings.algorithm, self._headers)


def _read_key(algorithm: str, key: str, encoding: str) -> Any:
    """Return a private key in PEM, or the bytes of a shared secret. Raises ValueError."""
    if algorithm != "HS256":
        return key.strip() + "\n"
    secret = _decode_secret(encoding, key)
    if len(secret) < _MIN_SECRET_BYTES:
        sentence = f"A shared secret of HS256 must have at least {_MIN_SECRET_BYTES} bytes."
        raise SettingsInvalid(("credentials", "signing_key"), sentence)
    return secret


def _decode_secret(encoding: str, key: str) -> bytes:
    try:
        if encoding == "hex":
            return bytes.fromhex(key)
        return b64decode(key, validate=True) if encoding == "base64" else key.encode()
    except (ValueError, binascii.Error):
        sentence = f"The shared secret is not encoded in {encoding}."
        raise SettingsInvalid(("credentials", "signing_key"), sentence) from None


class SignedTokenHeaders:
    """Sends a token that it signs for each request."""

    def __init__(self, scheme: SignedTokenAuthentication, held: Credentials, secrets: SecretSet) -> None:
        self._header = scheme.header
        self._template = scheme.template
        self._signer = TokenSigner(scheme, held["signing_key"], scheme.encoding)
        self._secrets = secrets
        if not is_header_value(self._template.render({"token": self._signer.sign_token({})})):
            raise SettingsInvalid(("authentication", "template"), "This cannot be sent as a header.")

    def get_headers(self, sender: TokenSender) -> Mapping[str, str]:
        token = self._signer.sign_token({})
        # For the log of the process, and for this request: other threads may have newer ones before its answer.
        self._secrets.add_recent(token)
        sender.add_secret(token)
        return {self._header: self._template.render({"token": token})}

    def renew_headers(self, sender: TokenSender, refused: Mapping[str, str]) -> None:
        return None

    def renew_credentials(self, sender: TokenSender) -> None:
        return None
