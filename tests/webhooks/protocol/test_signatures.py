"""Signatures: published vectors, the library of Standard Webhooks for comparison, the limits of each rule."""

import base64
import hmac
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks.webhooks import Webhook

from tests.support.rows import each_row
from webhooks.protocol.schemes import UNVERIFIED_SCHEMES
from webhooks.protocol.signatures import (
    SCHEMES,
    BadSignature,
    LiveSecret,
    VerifiedSignature,
    check_secret,
    check_settings,
    new_secret,
    verify_signature,
)

pytestmark = pytest.mark.pure

SEED = b'{"id":"IDNUMBER1234","entityType":"USER","eventType":"UPDATE","timestamp":"2019-01-01T00:00:00Z"}'
SEED_TIME = datetime.fromtimestamp(1546300800, UTC)
PUBLISHED_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PUBLISHED_BODY = b'{"test": 2432232314}'
PUBLISHED_TIME = datetime.fromtimestamp(1614265330, UTC)
GOOD = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
OTHER = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="


def verify_standard(
    signature=GOOD, *, secrets=(PUBLISHED_SECRET,), now=PUBLISHED_TIME, spelling="webhook", **changed
):
    headers = {
        "id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "timestamp": "1614265330",
        "signature": signature,
        **changed,
    }
    return verify_signature(
        "standard-webhooks",
        settings={},
        secrets=[LiveSecret(number, value) for number, value in enumerate(secrets)],
        headers={f"{spelling}-{name}": value for name, value in headers.items() if value is not None},
        body=PUBLISHED_BODY,
        now=now,
    )


def hmac_of(body, signature, secret="hubsecret", **settings):
    return verify_signature(
        "body-hmac",
        settings={"header": "X-Signature", **settings},
        secrets=[LiveSecret(1, secret)],
        headers={"x-signature": signature},
        body=body,
        now=SEED_TIME,
    )


def verify_static(scheme, secret, header, *, name="authorization", settings=None):
    return verify_signature(
        scheme,
        settings=settings or {},
        secrets=[LiveSecret(7, secret)],
        headers={name: header},
        body=b"",
        now=SEED_TIME,
    )


@each_row(["webhook", "svix"])
def test_the_published_vector_passes_in_both_spellings_and_with_others_around_it(spelling):
    found = VerifiedSignature(0, "msg_p5jXN8AQM9LWM0D4loKWxJek", PUBLISHED_TIME)
    assert verify_standard(spelling=spelling) == found
    assert verify_standard(f"{OTHER} v2,Ceo5 {GOOD} {OTHER}") == found
    # In a rotation both secrets are accepted.
    other = "whsec_" + base64.b64encode(b"x" * 32).decode()
    assert verify_standard(secrets=(other, PUBLISHED_SECRET)).secret_id == 1


@pytest.mark.promise("T1")
@each_row(
    [
        {"signature": GOOD.replace("1OE=", "1OA=")},
        {"signature": GOOD.replace("v1,", "v2,")},
        {"signature": GOOD.replace("v1,", "v1a,")},
        {"signature": GOOD.replace("v1,", "")},
        {"signature": "v1,"},
        {"signature": GOOD + ",b"},
        {"signature": ""},
        {"signature": None},
        {"signature": "v1,é☃"},
        {"signature": " ".join([OTHER] * 16 + [GOOD])},
        {"id": None},
        {"id": "msg_other"},
        {"id": "msg.1"},
        {"id": "msg_é"},
        {"id": "m" * 256},
        {"timestamp": None},
        {"timestamp": "1614265331"},
        {"timestamp": "1614265330.0"},
        {"timestamp": " 1614265330"},
        {"timestamp": "١٦١٤٢٦٥٣٣٠"},
        {"timestamp": "9" * 400},
        {"secrets": ()},
        {"secrets": ("",)},
        {"secrets": ("whsec_",)},
        {"secrets": ("whsec_é",)},
        {"secrets": ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx",)},
    ]
)
def test_anything_but_the_right_signature_is_refused(changes):
    with pytest.raises(BadSignature):
        verify_standard(**changes)


@pytest.mark.promise("I16")
@each_row(
    [(-301, False), (-300.001, False), (-300, True), (0, True), (300, True), (300.001, False), (301, False)]
)
def test_a_timestamp_is_valid_for_five_minutes(seconds, is_accepted):
    with nullcontext() if is_accepted else pytest.raises(BadSignature):
        verify_standard(now=PUBLISHED_TIME + timedelta(seconds=seconds))


@each_row(["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwBr"])
def test_secrets_without_padding_agree_with_the_library(secret):
    body = '{"name":"Ääkkönen"}'
    signature = Webhook(secret.removeprefix("whsec_")).sign("msg_1", SEED_TIME, body)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": "1546300800", "webhook-signature": signature}
    found = verify_signature(
        "standard-webhooks",
        settings={},
        secrets=[LiveSecret("new", secret)],
        headers=headers,
        body=body.encode(),
        now=SEED_TIME,
    )
    assert found.secret_id == "new"


HEX = "00b7ab9ce5930d4262701bd5793f9902305e1f411b27f11fc512248313c07af2"


@each_row(
    [
        (HEX.upper(), {}),
        ("sha256=" + HEX, {"prefix": "sha256="}),
        ("ALernOWTDUJicBvVeT+ZAjBeH0EbJ/EfxRIkgxPAevI=", {"encoding": "base64"}),
        ("53b3f1a0632f3420007fd99295f4d2017085af88", {"algorithm": "sha1"}),
    ]
)
def test_a_signature_of_the_body_alone_is_accepted_as_its_vendors_write_it(header, settings):
    assert hmac_of(SEED, header, **settings) == VerifiedSignature(1)
    with pytest.raises(BadSignature):
        hmac_of(SEED + b" ", header, **settings)


@each_row(
    [
        ("", "hubsecret", {}),
        (HEX[:-2], "hubsecret", {}),
        (HEX, "hubsecret", {"prefix": "sha256="}),
        (HEX, "", {}),
        (HEX, "hubsecret", {"algorithm": "md5"}),
        (HEX, "hubsecret", {"encoding": "rot13"}),
        (HEX, "hubsecret", {"header": "X-Other"}),
        ("é☃\udc80", "hubsecret", {}),
    ]
)
def test_a_wrong_body_signature_is_refused(header, secret, settings):
    with pytest.raises(BadSignature):
        hmac_of(SEED, header, secret, **settings)


def as_wsgi(text):
    return text.encode().decode("latin-1")


@each_row(
    [
        ("bearer", "a-long-enough-token", "Bearer a-long-enough-token", {}),
        ("bearer", "a-long-enough-token", "bearer  a-long-enough-token", {}),
        ("bearer", "salasana-ää-öö", as_wsgi("Bearer salasana-ää-öö"), {}),
        ("basic", "hub:pass:wörd", "Basic " + base64.b64encode("hub:pass:wörd".encode()).decode(), {}),
        ("header", "ääkköset", as_wsgi("ääkköset"), {"name": "x-token", "settings": {"header": "X-Token"}}),
    ]
)
def test_a_static_secret_is_accepted_and_a_longer_or_shorter_one_is_not(scheme, secret, header, more):
    assert verify_static(scheme, secret, header, **more) == VerifiedSignature(7)
    for wrong in (header + "x", header[:-1], "", header.split(" ")[-1] + " "):
        with pytest.raises(BadSignature):
            verify_static(scheme, secret, wrong, **more)


@each_row([("bearer", "Bearer "), ("basic", "Basic "), ("header", "")])
def test_an_empty_secret_matches_nothing(scheme, header):
    with pytest.raises(BadSignature):
        verify_static(scheme, "", header, settings={"header": "authorization"})


def test_without_verification_no_secret_is_named():
    assert (
        verify_signature("none", settings={}, secrets=[], headers={}, body=b"", now=SEED_TIME)
        == VerifiedSignature()
    )


def test_nothing_that_a_polled_source_gets_is_verified():
    with pytest.raises(BadSignature):
        verify_signature("polled", settings={}, secrets=[], headers={}, body=b"", now=SEED_TIME)


def test_an_unknown_scheme_is_refused():
    with pytest.raises(BadSignature):
        verify_static("plain", "a-long-enough-token", "a-long-enough-token")


def test_a_secret_is_never_shown():
    assert "hubsecret" not in repr(LiveSecret(1, "hubsecret")) + str(LiveSecret(1, "hubsecret"))


@each_row(sorted(set(SCHEMES) - {*UNVERIFIED_SCHEMES}))
def test_a_new_secret_is_strong_and_unique(scheme):
    settings = {"algorithm": "HS512"} if scheme == "jwt" else {}
    check_secret(scheme, new_secret(scheme, settings), settings)
    assert new_secret(scheme, settings) != new_secret(scheme, settings)


def test_a_key_of_128_bits_that_the_sender_made_is_stored():
    check_secret("hmac", base64.urlsafe_b64encode(bytes(range(16))).decode().rstrip("="))
    check_secret("hmac", base64.b64encode(bytes(range(16))).decode(), {"header": "X", "secret": "base64"})


@pytest.mark.promise("T3")
@each_row(
    [
        ("none", "x" * 40),
        ("polled", "x" * 40),
        ("plain", "x" * 40),
        ("standard-webhooks", ""),
        ("standard-webhooks", "whsec_"),
        ("standard-webhooks", "not base64 at all, but long enough"),
        ("standard-webhooks", "whsec_" + base64.b64encode(b"x" * 23).decode()),
        ("standard-webhooks", "whpk_" + base64.b64encode(b"x" * 31).decode()),
        ("bearer", "whpk_" + base64.b64encode(b"x" * 32).decode()),
        ("body-hmac", "x" * 23),
        ("timestamped-hmac", "x" * 23),
        ("hmac", "x" * 21),
        ("bearer", "x" * 21),
        ("bearer", "x" * 20 + "\n"),
        ("basic", "x" * 40),
        ("basic", ":" + "x" * 40),
        ("basic", "hub:" + "x" * 21),
    ]
)
def test_a_weak_secret_is_not_stored_and_not_repeated(scheme, value):
    with pytest.raises(ValueError, match=r"\.\Z") as caught:
        check_secret(scheme, value)
    assert value in ("", "whsec_") or value not in str(caught.value)


@each_row(
    [
        ("plain", {}),
        ("bearer", {"header": "X-Token"}),
        ("header", {}),
        ("header", {"header": "X_Token"}),
        ("header", {"header": "X-Token\n"}),
        ("header", {"header": 5}),
        ("body-hmac", {"header": "X-Signature", "algorithm": "md5"}),
        ("timestamped-hmac", {"header": "X-Signature", "unit": "minutes"}),
        ("timestamped-hmac", {"header": "X-Signature", "time": "t,"}),
        ("timestamped-hmac", {"header": "X-Signature", "signature": ""}),
        ("body-hmac", {"header": "X-Signature", "encoding": ""}),
        ("body-hmac", {"header": "X-Signature", "prefix": "a b"}),
    ]
)
def test_invalid_settings_are_refused(scheme, settings):
    with pytest.raises(ValueError, match=r"\.\Z"):
        check_settings(scheme, settings)


# HMAC of the time, a full stop and the seed: computed with openssl. The rule behind it is tested in test_hmac_vectors.
AT_SECONDS = "97f7ae4edf5695f0aa5616f72955c27f801d7fd345539409ffc09454597722c8"
KEY = "a-secret-of-twenty-four-b"


@each_row(
    [
        (f"t=1546300800,v1={'0' * 64},v1={AT_SECONDS.upper()},v0=x", 300, True),
        (f"t=1546300800,v1={AT_SECONDS}", -301, False),
        (f"t=1546300800,v1={AT_SECONDS}", 301, False),
        (f"t=1546300801,v1={AT_SECONDS}", 0, False),
        (f"t=1546300800,v2={AT_SECONDS}", 0, False),
        (f"v1={AT_SECONDS}", 0, False),
        (f"t={'9' * 5000},v1={AT_SECONDS}", 0, False),
        ("t=1546300800" + ",x=y" * 20 + f",v1={AT_SECONDS}", 0, False),
    ]
)
def test_a_signature_of_time_and_body_is_valid_for_five_minutes(header, seconds, is_accepted):
    with nullcontext() if is_accepted else pytest.raises(BadSignature):
        found = verify_signature(
            "timestamped-hmac",
            settings={"header": "Stripe-Signature"},
            secrets=[LiveSecret(0, "another-secret-of-24-bytes"), LiveSecret(1, KEY)],
            headers={"stripe-signature": header},
            body=SEED,
            now=SEED_TIME + timedelta(seconds=seconds),
        )
        assert found.secret_id == 1


def by_own_key(**changed):
    """Return the published message, signed by a key of the sender, of which the hub has the public half."""
    key = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    content = b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330." + PUBLISHED_BODY
    signature = base64.b64encode(key.sign(content)).decode()
    public = "whpk_" + base64.b64encode(key.public_key().public_bytes_raw()).decode()
    check_secret("standard-webhooks", public)
    return verify_standard(
        **{"signature": f"v1a,{signature}", "secrets": (PUBLISHED_SECRET, public)} | changed
    )


def test_a_webhook_may_be_signed_by_a_key_of_the_sender():
    found = VerifiedSignature(1, "msg_p5jXN8AQM9LWM0D4loKWxJek", PUBLISHED_TIME)
    assert by_own_key() == found
    assert by_own_key(spelling="svix") == found
    assert by_own_key(signature=GOOD).secret_id == 0


@each_row(
    [
        {"secrets": (PUBLISHED_SECRET,)},
        {"secrets": ("whpk_" + base64.b64encode(b"o" * 32).decode(),)},
        {"signature": "v1a," + base64.b64encode(b"s" * 64).decode()},
        {"signature": "v1a,\xe4"},
        {"timestamp": "1614265331"},
        {"id": "msg_other"},
        {"now": PUBLISHED_TIME + timedelta(seconds=301)},
    ]
)
def test_another_key_or_another_message_is_refused(changed):
    with pytest.raises(BadSignature):
        by_own_key(**changed)


def test_a_public_key_is_no_secret_for_an_hmac():
    """Otherwise anyone who knows the public key could sign."""
    public = "whpk_" + base64.b64encode(b"p" * 32).decode()
    content = b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330." + PUBLISHED_BODY
    for key in (b"p" * 32, b"", public.encode()):
        mac = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
        with pytest.raises(BadSignature):
            verify_standard(f"v1,{mac}", secrets=(public,))
