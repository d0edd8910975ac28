"""Secrets that people make up are refused, random ones are not."""

import random
import string

import pytest

from config_schema.secret_strength import can_be_guessed
from webhooks.protocol.schemes import check_secret, require_strong_secret

pytestmark = pytest.mark.pure

WEAK = (
    *("password-password-password", "a" * 26, "changeme-changeme-changeme", "1234567890123456789012"),
    *("0123456789abcdef0123456789abcdef", string.ascii_lowercase, "qwertyuiopasdfghjklzxcvbnm", "secret" * 4),
    *(
        "SuperSecretPassw0rd2026!!",
        "integration-hub-webhook-secret",
        "my-webhook-secret-2026-01",
        "test-" * 5,
    ),
    *("letmeinletmeinletmein123", "supersecretwebhooktoken1", "00000000000000000000000001", "deadbeef" * 3),
    *(
        "your-webhook-secret-here",
        "abc123" * 4,
        "IntegrationHub2026!Secret",
        "the-example-from-the-docs",
        "ab" * 12,
    ),
)


@pytest.mark.parametrize("secret", WEAK)
def test_a_secret_that_can_be_guessed_is_refused(secret: str) -> None:
    for scheme in ("bearer", "hmac"):
        check_secret(scheme, secret + "!" * (24 - len(secret)))
        with pytest.raises(ValueError, match="can be guessed") as refusal:
            require_strong_secret(scheme, secret)
        assert secret not in str(refusal.value)


def test_random_secrets_are_accepted() -> None:
    random_source = random.Random(20261201)
    base64url = string.ascii_letters + string.digits + "-_"
    for alphabet, length in ((base64url, 22), ("0123456789abcdef", 32), (base64url, 43)):
        for _ in range(500):
            text = "".join(random_source.choices(alphabet, k=length))
            assert not can_be_guessed(text, text.encode()), text
    for _ in range(500):
        assert not can_be_guessed("whsec_", random_source.randbytes(16))
