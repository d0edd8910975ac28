"""The HMAC of a challenge: with some senders, the answer to a handshake also proves that the hub has the secret. Pure.

Its key is the one that verifies webhooks, and often anyone may ask for it. It must never be the signature of a webhook:
such a challenge contains neither `{` nor `[`, and a webhook whose body begins with neither of them is refused.
"""

import re
from dataclasses import dataclass

from config_schema.kinds import Choice, Text
from config_schema.objects import Object
from config_schema.settings import SettingValues, defaulted, optional
from config_schema.translatable import translatable
from webhooks.protocol.hmac_rule import ALGORITHMS, ENCODINGS, PREFIX, compute_hmac

MAX_CHALLENGE_LENGTH = 256
_CHALLENGE = re.compile(rf"[A-Za-z0-9._~+/=-]{{1,{MAX_CHALLENGE_LENGTH}}}")
_JSON_SPACE = b" \t\n\r"
_JSON_BEGINNINGS = (b"{", b"[")
# The schemes whose secret is the key of an HMAC.
SCHEMES = ("body-hmac", "timestamped-hmac", "hmac")

FIELD_NAME = Text(
    re.compile(r"[A-Za-z0-9_.-]{1,64}"),
    translatable("1 to 64 letters, digits, `_`, `.` and `-`"),
    translatable("This must be 1 to 64 letters, digits, underscores, full stops or hyphens."),
)
_FIELD = optional(
    "field",
    FIELD_NAME,
    "The name of a second field of the JSON object, which holds the HMAC. Without it, the HMAC is sent back instead of "
    "the challenge.",
    example="encryptedToken",
    is_nullable=False,
)
_ALGORITHM = defaulted("algorithm", Choice(ALGORITHMS), "sha256", "The hash of the HMAC.", example="sha512")
_ENCODING = defaulted(
    "encoding", Choice(tuple(ENCODINGS)), "hex", "How the HMAC is encoded.", example="base64"
)
_PREFIX = defaulted("prefix", PREFIX, "", "The text before the HMAC.", example="sha256=")


@dataclass(frozen=True, slots=True)
class ChallengeHmac:
    """Settings of the HMAC of a challenge. `field`: the JSON field that holds it next to the challenge, None if it
    takes the place of the challenge.
    """

    field: str | None
    algorithm: str
    encoding: str
    prefix: str

    def accepts(self, challenge: str) -> bool:
        """Return True if the HMAC of a challenge cannot be the signature of a webhook."""
        return bool(_CHALLENGE.fullmatch(challenge))

    def compute(self, key: bytes, challenge: str) -> str:
        """Return the HMAC as it is sent."""
        digest = compute_hmac(key, challenge.encode("ascii"), self.algorithm)
        return self.prefix + ENCODINGS[self.encoding](digest).decode("ascii")


def may_be_challenge(body: bytes) -> bool:
    """Return True if the signed text of a webhook with this body could also be a challenge."""
    return not body.lstrip(_JSON_SPACE).startswith(_JSON_BEGINNINGS)


def _build(values: SettingValues) -> ChallengeHmac:
    return ChallengeHmac(values[_FIELD], values[_ALGORITHM], values[_ENCODING], values[_PREFIX])


HMAC_SETTING = optional(
    "hmac",
    Object((_FIELD, _ALGORITHM, _ENCODING, _PREFIX), _build),
    translatable(
        "For a sender that expects an HMAC of its challenge, such as Zoom, X or LinkedIn. The key is the newest secret "
        "of the source, or the one that verified the request; the verification must be by an HMAC. Such a challenge "
        "has at most %(most)s letters, digits and characters of `._~+/=-`. If the handshake is not verified, a webhook "
        "that is neither a JSON object nor a list is refused, because anyone could get its signature. Use a secret "
        "that no other source has.",
        most=MAX_CHALLENGE_LENGTH,
    ),
    example={"field": "encryptedToken"},
    is_nullable=False,
)
