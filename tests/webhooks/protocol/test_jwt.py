"""Signed tokens: vendors' vectors, each algorithm, and the known attacks on JWS."""

import base64
import hashlib
import hmac
import json
import random
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.api_jws import PyJWS

from tests.support.rows import each_row
from webhooks.protocol.schemes import check_secret, check_settings, has_secret, new_secret
from webhooks.protocol.signatures import BadSignature, LiveSecret, VerifiedSignature, verify_signature
from webhooks.protocol.tokens.jwt_signatures import UnknownKey
from webhooks.protocol.tokens.public_keys import MAX_KEYS, clean_key_set, load_key_set

pytestmark = pytest.mark.pure

SEED = b'{"id":"IDNUMBER1234","entityType":"USER","eventType":"UPDATE","timestamp":"2019-01-01T00:00:00Z"}'
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
SECRET = "hubsecret-hubsecret-hubsecret-32"
FUSIONAUTH = (
    "eyJhbGciOiJIUzI1NiIsImtpZCI6ImsxIiwidHlwIjoiSldUIn0"
    ".eyJyZXF1ZXN0X2JvZHlfc2hhMjU2IjoiMHNsOUdYMGRLYkdGVTM5c0lkcGZ5eGlFVkxkeXI3SVBjdU5EYzNmM0xtZz0ifQ"
    ".J7VQVnCwXzAAjzDwcdhE4IEFY8eR_1_qs6MovML6VmY"
)
FUSIONAUTH_SETTINGS = {
    "algorithm": "HS256",
    "header": "X-FusionAuth-Signature-JWT",
    "digest_claim": "request_body_sha256",
    "digest_encoding": "base64",
}
RSA_KEY = rsa.generate_private_key(65_537, 2_048)
OTHER_RSA_KEY = rsa.generate_private_key(65_537, 2_048)
KEYS: dict[str, Any] = {
    "RS256": RSA_KEY,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
KEYCLOAK = {
    "algorithm": "RS256",
    "header": "Authorization",
    "jwks_url": "https://id.example.com/certs",
    "issuer": "https://id.example.com/realms/main",
    "audience": "https://hub.example.com",
    "needs_expiry": True,
    "digest_claim": "request_body_sha256",
}
CLAIMS = {
    "iss": "https://id.example.com/realms/main",
    "aud": "https://hub.example.com",
    "exp": SECONDS + 300,
    "request_body_sha256": hashlib.sha256(SEED).hexdigest(),
}


def pem_of(private: Any) -> str:
    return str(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def jwk_of(private: Any, algorithm: str, **members: Any) -> dict[str, Any]:
    return jwt.get_algorithm_by_name(algorithm).to_jwk(private.public_key(), as_dict=True) | members


def key_set(*keys: dict[str, Any]) -> str:
    return clean_key_set(json.dumps({"keys": keys}).encode())


KEY_SET = key_set(jwk_of(RSA_KEY, "RS256", kid="k1", use="sig", alg="RS256"))


def verify(
    settings: dict[str, Any],
    token: str | bytes,
    *,
    secret: str = SECRET,
    body: bytes = SEED,
    now: datetime = NOW,
    keys: str | None = KEY_SET,
) -> VerifiedSignature:
    check_settings("jwt", settings)
    text = token.decode("latin-1") if isinstance(token, bytes) else token
    header = settings.get("header")
    return verify_signature(
        "jwt",
        settings=settings,
        secrets=[LiveSecret(1, "o" * 64), LiveSecret(2, secret)] if has_secret("jwt", settings) else [],
        headers={header.lower(): text} if header else {},
        body=body if header else text.encode("latin-1"),
        now=now,
        find_key_set=lambda url: keys if url == settings.get("jwks_url") else None,
    )


def keycloak_token(key: Any = RSA_KEY, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
    wanted = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    return jwt.encode(wanted, key, "RS256", {"kid": "k1"} | (header or {}))


def raw_token(header: dict[str, Any], claims: Any, key: bytes) -> str:
    """Sign with HMAC-SHA256, whatever the header says."""
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)
    ]
    signature = hmac.digest(key, ".".join(parts).encode(), "sha256")
    return ".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=").decode()])


def test_fusionauth() -> None:
    assert verify(FUSIONAUTH_SETTINGS, FUSIONAUTH).secret_id == 2


@each_row(["", "Bearer ", "bearer   "])
def test_keycloak_with_keys_of_a_key_set(prefix: str) -> None:
    assert verify(KEYCLOAK, prefix + keycloak_token()) == VerifiedSignature()
    assert verify(KEYCLOAK, keycloak_token(aud=["other", KEYCLOAK["audience"]])) == VerifiedSignature()


@pytest.mark.promise("T1")
@each_row([(name, number) for name in ("FusionAuth", "Keycloak") for number in range(50)])
def test_a_tampered_token_or_body_is_refused(name: str, number: int) -> None:
    choose = random.Random(f"{name} {number}")
    settings, token = (
        (FUSIONAUTH_SETTINGS, FUSIONAUTH) if name == "FusionAuth" else (KEYCLOAK, keycloak_token())
    )
    body = SEED
    if number % 5 == 0:
        at = choose.randrange(len(body))
        body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
    elif number % 5 == 1:
        token = token[: choose.randrange(len(token))]
    else:
        # The last character of a part has bits that no byte uses.
        places = [at for at in range(len(token) - 1) if token[at] != "." and token[at + 1] != "."]
        at = choose.choice(places)
        other = choose.choice([letter for letter in "ABCDxyz019-_" if letter != token[at]])
        token = token[:at] + other + token[at + 1 :]
    with pytest.raises(BadSignature):
        verify(settings, token, body=body)


@each_row(KEYS)
def test_each_algorithm_with_pem_and_with_a_key_set(algorithm: str) -> None:
    token = jwt.encode({"iss": "me"}, KEYS[algorithm], algorithm)
    by_pem = {"algorithm": algorithm, "header": "X-Token", "public_keys": [pem_of(KEYS[algorithm])]}
    by_url = {"algorithm": algorithm, "header": "X-Token", "jwks_url": "https://id.example.com/certs"}
    everything = key_set(*(jwk_of(key, name) for name, key in KEYS.items()))
    assert verify(by_pem, token).secret_id is None
    assert verify(by_url, token, keys=everything).secret_id is None
    for other in set(KEYS) - {algorithm}:
        with pytest.raises(BadSignature):
            verify(by_url, jwt.encode({"iss": "me"}, KEYS[other], other), keys=everything)


@each_row([("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_the_secret_has_the_size_that_its_algorithm_needs(algorithm: str, size: int) -> None:
    settings = {"algorithm": algorithm, "header": "X-Token"}
    check_secret("jwt", new_secret("jwt", settings), settings)
    check_secret("jwt", "s" * size, settings)
    assert verify(settings, jwt.encode({}, "s" * size, algorithm), secret="s" * size).secret_id == 2
    with pytest.raises(ValueError, match=f"at least {size} bytes"):
        check_secret("jwt", "s" * (size - 1), settings)
    with pytest.raises(BadSignature):
        verify(settings, raw_token({"alg": algorithm}, {}, b"s" * (size - 1)), secret="s" * (size - 1))


@pytest.mark.promise("T3")
@each_row(["none", "NONE", "", None, "HS256", "RS384", "PS256", ["RS256"]])
def test_no_other_algorithm_than_the_configured_one_is_accepted(algorithm: Any) -> None:
    forged = raw_token({"alg": algorithm, "kid": "k1"}, CLAIMS, pem_of(RSA_KEY).encode())
    with pytest.raises(BadSignature):
        verify(KEYCLOAK, forged)
    with pytest.raises(BadSignature):
        verify(KEYCLOAK, forged.rpartition(".")[0] + ".")


def test_a_public_key_is_never_the_secret_of_an_hmac() -> None:
    settings = {"algorithm": "HS256", "header": "X-Token"}
    with pytest.raises(ValueError, match="never with a public key"):
        check_settings("jwt", settings | {"public_keys": [pem_of(RSA_KEY)]})
    with pytest.raises(ValueError, match="never with a public key"):
        check_settings("jwt", settings | {"jwks_url": "https://id.example.com/certs"})
    with pytest.raises(ValueError, match="public key is not a secret"):
        check_secret("jwt", pem_of(RSA_KEY), settings)
    with pytest.raises(BadSignature):
        verify(settings, raw_token({"alg": "HS256"}, {}, pem_of(RSA_KEY).encode()), secret=pem_of(RSA_KEY))
    with pytest.raises(ValueError, match="no secret"):
        check_secret("jwt", SECRET, KEYCLOAK)
    with pytest.raises(ValueError, match="no key"):
        key_set({"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I", "alg": "HS256"})


def test_keys_that_a_token_brings_along_are_not_used() -> None:
    brought = {
        "jwk": jwk_of(OTHER_RSA_KEY, "RS256"),
        "jku": "https://attacker.example.com/certs",
        "x5u": "https://attacker.example.com/cert",
    }
    with pytest.raises(BadSignature):
        verify(KEYCLOAK, keycloak_token(OTHER_RSA_KEY, header=brought))
    assert verify(KEYCLOAK, keycloak_token(header=brought)) == VerifiedSignature()


@each_row([{"crit": ["exp"], "exp": 1}, {"crit": []}, {"b64": True}, {"b64": False, "crit": ["b64"]}])
def test_extensions_are_refused(header: dict[str, Any]) -> None:
    settings = {"algorithm": "HS256", "header": "X-Token"}
    with pytest.raises(BadSignature):
        verify(settings, raw_token({"alg": "HS256"} | header, {}, SECRET.encode()))


@each_row(
    [
        {"iss": "https://other.example.com"},
        {"iss": None},
        {"iss": "https://id.example.com/realms/main/"},
        {"aud": None},
        {"aud": []},
        {"exp": None},
        {"exp": SECONDS - 60},
        {"nbf": SECONDS + 61},
        *({name: value} for name in ("exp", "nbf") for value in ("1", True, 1e300, [])),
        {"request_body_sha256": None},
        {"request_body_sha256": hashlib.sha256(b"").hexdigest()},
        {"request_body_sha256": base64.b64encode(hashlib.sha256(SEED).digest()).decode()},
        {"request_body_sha256": "é"},
        {"request_body_sha256": 1},
    ]
)
def test_a_claim_that_does_not_fit_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(BadSignature):
        verify(KEYCLOAK, keycloak_token(**claims))


def test_the_leeway_is_a_setting() -> None:
    assert verify(KEYCLOAK, keycloak_token(exp=SECONDS - 59)) == VerifiedSignature()
    with pytest.raises(BadSignature):
        verify(KEYCLOAK | {"leeway": 0}, keycloak_token(exp=SECONDS))


@each_row(["secevent+jwt", "application/SecEvent+jwt"])
def test_the_type_of_a_token_may_be_written_in_full(configured: str) -> None:
    """RFC 7515, section 4.1.9: a sender may leave `application/` out."""
    settings = {"algorithm": "HS256", "type": configured}
    for typ in ("secevent+jwt", "application/secevent+jwt"):
        verify(settings, jwt.encode({"sub": "X"}, SECRET, "HS256", {"typ": typ}))
    for wrong in ("text/secevent+jwt", "jwt", "application/jwt", "", "application/", ["secevent+jwt"], 1):
        with pytest.raises(BadSignature):
            verify(settings, raw_token({"alg": "HS256", "typ": wrong}, {"sub": "X"}, SECRET.encode()))


def test_a_token_as_the_body_gives_its_claims_as_the_document() -> None:
    settings = {"algorithm": "HS256", "type": "secevent+jwt", "id_claim": "jti"}
    claims = {"jti": "e1", "sub": "X"}
    token = jwt.encode(claims, SECRET, "HS256", {"typ": "SecEvent+JWT"})
    found = verify(settings, f"{token}\r\n")
    assert found.webhook_id == "e1"
    assert json.loads(found.body or b"") == claims
    for wrong in (
        jwt.encode(claims, SECRET, "HS256"),
        jwt.encode({"sub": "X"}, SECRET, "HS256", {"typ": "secevent+jwt"}),
        jwt.encode({"jti": "a b"}, SECRET, "HS256", {"typ": "secevent+jwt"}),
        raw_token({"alg": "HS256", "typ": "secevent+jwt"}, ["e1"], SECRET.encode()),
    ):
        with pytest.raises(BadSignature):
            verify(settings, wrong)


@each_row(
    [
        "",
        "..",
        "a.b",
        "a.b.c.d",
        "é.é.é",
        f"{'A' * 2_049}.e30.AA",
        "W10.e30.AA",
        "bnVsbA.e30.AA",
        "A" * 60_000,
    ]
)
def test_an_invalid_token_is_refused(token: str) -> None:
    for settings in ({"algorithm": "HS256", "header": "X-Token"}, {"algorithm": "HS256"}):
        with pytest.raises(BadSignature):
            verify(settings, token)


def test_an_unknown_key_is_distinguished_so_that_keys_are_fetched_again() -> None:
    for keys, header in ((KEY_SET, {"kid": "k2"}), (None, {})):
        with pytest.raises(UnknownKey):
            verify(KEYCLOAK, keycloak_token(header=header), keys=keys)
    with pytest.raises(BadSignature) as raised:
        verify(KEYCLOAK, keycloak_token(OTHER_RSA_KEY))
    assert not isinstance(raised.value, UnknownKey)


def test_a_token_without_a_key_id_may_be_signed_by_any_key_of_the_set() -> None:
    token = jwt.encode(CLAIMS, RSA_KEY, "RS256")
    keys = key_set(jwk_of(OTHER_RSA_KEY, "RS256", kid="k2"), jwk_of(RSA_KEY, "RS256", kid="k1"))
    assert verify(KEYCLOAK, token, keys=keys) == VerifiedSignature()


def test_a_key_set_is_stored_without_unneeded_fields() -> None:
    private = jwt.get_algorithm_by_name("RS256").to_jwk(RSA_KEY, as_dict=True)
    cleaned = key_set(private | {"kid": "k1", "x5c": ["a"], "use": "sig"}, {"kty": "oct", "k": "x"})
    assert [sorted(key) for key in json.loads(cleaned)] == [["e", "kid", "kty", "n"]]
    assert load_key_set(cleaned, "ES256") == ()


@each_row(
    [
        (b"", "not JSON"),
        (b"[]", "no list of keys"),
        (b"[" * 60_000, "not JSON"),
        (b'{"keys":{}}', "no list of keys"),
        (b'{"keys":[1,null,"a",[],{}]}', "no key"),
        (b'{"keys":[{"kty":["RSA"]}]}', "no key"),
        (b'{"keys":[{"kty":"RSA","n":"AA","e":"AQAB"}]}', "no key"),
        (json.dumps({"keys": [{}] * (MAX_KEYS + 1)}).encode(), "more than 32 keys"),
        (b'{"keys":[' + b" " * 65_536 + b"]}", "larger than"),
    ]
)
def test_a_hostile_key_set_is_refused(body: bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        clean_key_set(body)


@each_row([rsa.generate_private_key(65_537, 1_024), ec.generate_private_key(ec.SECP384R1())])
def test_a_weak_key_and_one_of_another_curve_are_refused(key: Any) -> None:
    algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    with pytest.raises(ValueError, match=f"key for {algorithm}"):
        check_settings("jwt", {"algorithm": algorithm, "public_keys": [pem_of(key)]})


@each_row(
    [
        ({"algorithm": "PS256"}, "one of"),
        ({"jwks_url": "http://id.example.com/certs"}, "https"),
        ({"jwks_url": "https://u:p@id.example.com/certs"}, "https"),
        ({"jwks_url": "https://id.example.com/certs?a=1"}, "https"),
        ({"jwks_url": "file:///etc/passwd"}, "https"),
        ({"public_keys": [pem_of(RSA_KEY)]}, "either"),
        ({"leeway": 301}, "whole number"),
        ({"header": "a_b"}, "underscore"),
        ({"digest_encoding": "raw"}, "one of"),
    ]
)
def test_invalid_settings_are_refused_when_saved(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        check_settings("jwt", KEYCLOAK | changes)


DETACHED = {
    "algorithm": "RS256",
    "header": "Saleor-Signature",
    "detached": True,
    "jwks_url": "https://shop.example.com/.well-known/jwks.json",
}


def detached_token(body: bytes = SEED, *, is_encoded: bool = False, key: Any = RSA_KEY, **header: Any) -> str:
    """Sign a body as Saleor does, or encoded as RFC 7515, appendix F says."""
    if is_encoded:
        head, _, signature = PyJWS().encode(body, key, "RS256", {"kid": "k1", **header}).split(".")
        return f"{head}..{signature}"
    return PyJWS().encode(body, key, "RS256", {"kid": "k1", **header}, is_payload_detached=True)


@each_row([False, True])
def test_a_detached_token_signs_the_body(is_encoded: bool) -> None:
    token = detached_token(is_encoded=is_encoded)
    assert ".." in token
    assert verify(DETACHED, token) == VerifiedSignature(None)
    # Of any content: it need not be JSON.
    body = b"\xff.\x00a=1&b"
    assert verify(DETACHED, detached_token(body, is_encoded=is_encoded), body=body) == VerifiedSignature(None)


@each_row([(is_encoded, number) for is_encoded in (False, True) for number in range(30)])
def test_a_tampered_detached_token_or_body_is_refused(is_encoded: bool, number: int) -> None:
    choose = random.Random(f"{is_encoded} {number}")
    token, body = detached_token(is_encoded=is_encoded), SEED
    if number % 2:
        at = choose.randrange(len(body))
        body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
    else:
        at = choose.randrange(len(token) - 3)
        token = token[:at] + choose.choice([c for c in "abcXYZ019" if c != token[at]]) + token[at + 1 :]
    with pytest.raises(BadSignature):
        verify(DETACHED, token, body=body)


def test_the_encoding_of_a_detached_body_is_that_which_was_signed() -> None:
    """Neither may the body be taken for its encoding, nor the encoding for the body."""
    encoded = base64.urlsafe_b64encode(SEED).rstrip(b"=")
    with pytest.raises(BadSignature):
        verify(DETACHED, detached_token(encoded), body=SEED)
    with pytest.raises(BadSignature):
        verify(DETACHED, detached_token(SEED, is_encoded=True), body=encoded)


@each_row(
    [
        "..",
        "a..b",
        keycloak_token(),
        detached_token().replace("..", "."),
        detached_token().replace("..", "...."),
        detached_token().replace("..", ".e30."),
        detached_token() + ".",
        detached_token(key=OTHER_RSA_KEY),
    ]
)
def test_an_invalid_detached_token_is_refused(token: str) -> None:
    with pytest.raises(BadSignature):
        verify(DETACHED, token)


@each_row(
    [
        {"crit": ["b64"]},
        {"b64": False},
        {"b64": True, "crit": ["b64"]},
        {"b64": False, "crit": ["b64", "exp"]},
        {"b64": False, "crit": "b64"},
        {"b64": 0, "crit": ["b64"]},
        {"b64": "false", "crit": ["b64"]},
    ]
)
def test_a_detached_token_may_name_no_other_extension(header: dict[str, Any]) -> None:
    settings = {"algorithm": "HS256", "header": "X-Signature", "detached": True}
    for content in (SEED, base64.urlsafe_b64encode(SEED).rstrip(b"=")):
        head = base64.urlsafe_b64encode(json.dumps({"alg": "HS256"} | header).encode()).rstrip(b"=").decode()
        signature = hmac.digest(SECRET.encode(), head.encode() + b"." + content, "sha256")
        token = f"{head}..{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
        with pytest.raises(BadSignature):
            verify(settings, token)


@each_row(
    [
        ({"header": None}, "header"),
        ({"issuer": "https://id.example.com"}, "no claims"),
        ({"needs_expiry": True}, "no claims"),
        ({"digest_claim": "digest"}, "no claims"),
        ({"id_claim": "jti"}, "no claims"),
        ({"detached": "yes"}, "true or false"),
    ]
)
def test_settings_that_a_detached_token_cannot_have_are_refused(changes: dict[str, Any], fault: str) -> None:
    settings = {name: value for name, value in (DETACHED | changes).items() if value is not None}
    with pytest.raises(ValueError, match=fault):
        check_settings("jwt", settings)


# https://github.com/teamhanko/hanko/blob/main/backend/README.md#webhooks
IN_FIELD = {"algorithm": "RS256", "field": "data.token", "public_keys": [pem_of(RSA_KEY)], "audience": "hub"}


def token_in_field(key: Any = RSA_KEY, **claims: Any) -> str:
    return jwt.encode({"aud": "hub", "evt": "user.create"} | claims, key, "RS256")


def test_a_token_in_a_field_of_the_body_gives_its_claims_as_the_document() -> None:
    found = verify(IN_FIELD, json.dumps({"data": {"token": token_in_field()}, "evt": "user.delete"}))
    assert json.loads(found.body or b"") == {"aud": "hub", "evt": "user.create"}


@each_row(
    [
        {"token": token_in_field(OTHER_RSA_KEY)},
        {"token": token_in_field(aud="another")},
        {"token": token_in_field(exp=1)},
        {"token": jwt.encode({"aud": "hub"}, "", "none")},
        {"token": None},
        {"token": [token_in_field()]},
        {"token": {"token": token_in_field()}},
        {"tokens": token_in_field()},
        [{"token": token_in_field()}],
        token_in_field(),
    ]
)
def test_a_body_without_a_good_token_in_its_field_is_refused(data: Any) -> None:
    with pytest.raises(BadSignature):
        verify(IN_FIELD, json.dumps({"data": data}))


def test_of_two_tokens_in_a_field_none_counts() -> None:
    for body in (
        '{"data":{"token":"a.b.c","token":"%s"}}',
        '{"data":{"token":"%s","token":"a.b.c"}}',
        "%s",
        "",
    ):
        with pytest.raises(BadSignature):
            verify(IN_FIELD, body.replace("%s", token_in_field()))


@each_row(
    [
        ({"header": "Authorization"}, "field"),
        ({"detached": True}, "header"),
        ({"digest_claim": "d"}, "digest"),
        ({"field": ""}, "field"),
        ({"field": "a..b"}, "field"),
        ({"field": "items[].token"}, "field"),
        ({"field": ".".join("abcdefghi")}, "field"),
    ]
)
def test_settings_that_a_token_in_a_field_cannot_have_are_refused(
    changes: dict[str, Any], fault: str
) -> None:
    with pytest.raises(ValueError, match=fault):
        check_settings("jwt", IN_FIELD | changes)
