"""A system that verifies signatures of OAuth 1.0a as RFC 5849 has it, by an implementation of its own."""

import base64
import hmac
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.support.http.servers import Reply, SeenRequest

_FORM_TYPE = "application/x-www-form-urlencoded"
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_HASHES = {"HMAC-SHA1": "sha1", "HMAC-SHA256": "sha256", "HMAC-SHA512": "sha512"}
_PARAMETER = re.compile(r'([A-Za-z0-9_]+)="([^"]*)"')
_REQUIRED = frozenset(
    {"oauth_consumer_key", "oauth_signature_method", "oauth_signature", "oauth_timestamp", "oauth_nonce"}
)
MAX_AGE_SECONDS = 300


@dataclass(frozen=True)
class Consumer:
    """The credentials of a client. Without a token, it signs with its own secret alone."""

    key: str = "consumer key/1"
    secret: str = "s3cret&consumer"
    token: str = "t0ken+1"
    token_secret: str = "s3cret=token"

    @property
    def credentials(self) -> dict[str, str]:
        """Return them as the credentials of a connection."""
        own = {"consumer_key": self.key, "consumer_secret": self.secret}
        return own | ({"token": self.token, "token_secret": self.token_secret} if self.token else {})


class Refused(Exception):
    """The request is not signed as it must be. The message says why."""


@dataclass
class OAuth1Server:
    """Answers signed requests with `answer`, and all others with 401 and the reason. `reasons`: those of refusals."""

    answer: Callable[[SeenRequest], Reply]
    consumer: Consumer = field(default_factory=Consumer)
    algorithm: str = "HMAC-SHA256"
    realm: str | None = None
    clock: Callable[[], float] = time.time
    nonces: set[tuple[str, str]] = field(default_factory=set)
    reasons: list[str] = field(default_factory=list)

    def __call__(self, seen: SeenRequest) -> Reply:
        try:
            self.verify(seen)
        except Refused as refused:
            self.reasons.append(str(refused))
            return Reply(401, {"message": f"oauth_problem={refused}"})
        return self.answer(seen)

    def verify(self, seen: SeenRequest, scheme: str = "http") -> None:
        """Raise Refused unless the request is signed by the consumer (RFC 5849, 3.2)."""
        given = self._read_header(seen.headers.get("authorization", ""))
        expected = {
            "realm": self.realm,
            "oauth_consumer_key": self.consumer.key,
            "oauth_token": self.consumer.token or None,
            "oauth_signature_method": self.algorithm,
            "oauth_version": given.get("oauth_version") and "1.0",
        }
        for name, value in expected.items():
            if given.get(name) != value:
                raise Refused(f"{name}_rejected")
        if not _REQUIRED <= given.keys() <= _REQUIRED | expected.keys():
            raise Refused("parameter_absent_or_unknown")
        if not re.fullmatch("[1-9][0-9]*", given["oauth_timestamp"]):
            raise Refused("timestamp_malformed")
        if abs(int(given["oauth_timestamp"]) - self.clock()) > MAX_AGE_SECONDS:
            raise Refused("timestamp_refused")
        used = (given["oauth_timestamp"], given["oauth_nonce"])
        if used in self.nonces or not 6 <= len(given["oauth_nonce"]) <= 64:
            raise Refused("nonce_used")
        self.nonces.add(used)
        if not hmac.compare_digest(self.sign(seen, given, scheme), given["oauth_signature"]):
            raise Refused("signature_invalid")

    def sign(self, seen: SeenRequest, given: Mapping[str, str], scheme: str = "http") -> str:
        """Return the signature of a request with these parameters of its header (RFC 5849, 3.4.2)."""
        key = f"{encode(self.consumer.secret)}&{encode(self.consumer.token_secret if self.consumer.token else '')}"
        text = base_string(seen, given, scheme)
        return base64.b64encode(hmac.digest(key.encode(), text.encode(), _HASHES[self.algorithm])).decode()

    def _read_header(self, header: str) -> dict[str, str]:
        """Return the parameters of an Authorization header (RFC 5849, 3.5.1). Raises Refused."""
        word, _, rest = header.partition(" ")
        if word.lower() != "oauth":
            raise Refused("no_oauth")
        parts = [_PARAMETER.fullmatch(part.strip()) for part in rest.split(",")]
        pairs = [(part[1], part[2]) for part in parts if part is not None]
        given = {name: value if name == "realm" else decode(value) for name, value in pairs}
        if len(given) != len(parts):
            raise Refused("header_malformed")
        return given


def base_string(seen: SeenRequest, given: Mapping[str, str], scheme: str = "http") -> str:
    """Return the text that is signed (RFC 5849, 3.4.1)."""
    parts = urlsplit(seen.target)
    default = ":443" if scheme == "https" else ":80"
    address = f"{scheme}://{seen.headers['host'].lower().removesuffix(default)}{parts.path or '/'}"
    pairs = [(name, value) for name, value in given.items() if name not in ("realm", "oauth_signature")]
    pairs += _split_form(parts.query)
    if seen.headers.get("content-type", "") == _FORM_TYPE:
        pairs += _split_form(seen.body.decode("ascii"))
    encoded = sorted((encode(name), encode(value)) for name, value in pairs)
    parameters = "&".join(f"{name}={value}" for name, value in encoded)
    return "&".join([seen.method.upper(), encode(address), encode(parameters)])


def encode(text: str) -> str:
    """Return a text in percent-encoding (RFC 5849, 3.6)."""
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in text.encode())


def decode(text: str) -> str:
    """Return a percent-encoded text as it was."""
    parts = text.split("%")
    raw = parts[0].encode() + b"".join(bytes.fromhex(part[:2]) + part[2:].encode() for part in parts[1:])
    return raw.decode()


def _split_form(text: str) -> list[tuple[str, str]]:
    """Return the fields of a form or a query (RFC 5849, 3.4.1.3.1)."""
    fields = [part.partition("=") for part in text.split("&") if part]
    return [(decode(name.replace("+", " ")), decode(value.replace("+", " "))) for name, _, value in fields]
