"""The HMAC of a challenge: with some senders, the answer to a handshake also proves that the hub has the secret. Pure.

Its key is the one that verifies webhooks, and often anyone may ask for it. It must never be the signature of a webhook:
such a challenge contains neither `{` nor `[`, and a webhook whose body begins with neither of them is refused.
"""

import re

from config_schema.declared import Declared, setting
from config_schema.kinds import Choice, Text
from webhooks.protocol.hmac_rule import ALGORITHMS, ENCODINGS, PREFIX, compute_hmac

MAX_SIGNED_LENGTH = 256
_CHALLENGE = re.compile(rf"[A-Za-z0-9._~+/=-]{{1,{MAX_SIGNED_LENGTH}}}")
_JSON_SPACE = b" \t\n\r"
_JSON_BEGINNINGS = (b"{", b"[")
# The schemes whose secret is the key of an HMAC.
SCHEMES = ("body-hmac", "timestamped-hmac", "hmac")

FIELD_NAME = Text(
    re.compile(r"[A-Za-z0-9_.-]{1,64}"),
    "1 to 64 letters, digits, `_`, `.` and `-`",
    "This must be 1 to 64 letters, digits, underscores, full stops or hyphens.",
)


class ChallengeHmac(Declared):
    """Settings of the HMAC of a challenge. `field`: the JSON field that holds it next to the challenge, None if it
    takes the place of the challenge.
    """

    field: str | None = setting(
        FIELD_NAME,
        "The name of a second field of the JSON object, which holds the HMAC. Without it, the HMAC is sent back "
        "instead of the challenge.",
        default=None,
        example="encryptedToken",
    )
    algorithm: str = setting(Choice(ALGORITHMS), "The hash of the HMAC.", default="sha256", example="sha512")
    encoding: str = setting(
        Choice(tuple(ENCODINGS)), "How the HMAC is encoded.", default="hex", example="base64"
    )
    prefix: str = setting(PREFIX, "The text before the HMAC.", default="", example="sha256=")

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
