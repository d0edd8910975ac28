"""Secrets are removed in every form in which a system repeats them, and nothing else is."""

import base64
import json
import re
import time
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

import pytest

from connectors.values import escapes
from connectors.values.secret_forms import MIN_SECRET_LENGTH, SecretSet
from connectors.values.secret_scrubber import MASK, SecretScrubber
from tests.support.leaks.echoed_forms import ECHOED_FORMS, readable_in

pytestmark = pytest.mark.pure

SECRETS = (
    "s3cr3t-T0ken+Value/with=signs",
    'pä ss"wo\\rd & <1>%41 😀 end',
    "hub-user:p4ss:word",
    "kurz66",
    ">>>???~~~>>>?~?>",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodWIifQ.c2lnbmF0dXJl",
)
BODY = '{{"data":{{"id":"4711","seen":"before {} after"}},"n":5}}'


def scrub(text: str, *secrets: str) -> str:
    return SecretScrubber(SecretSet(secrets)).scrub_text(text)


@pytest.mark.promise("I6", "T20")
@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_masked_in_each_form_and_what_surrounds_it_stays(secret: str) -> None:
    for form, encode in ECHOED_FORMS.items():
        echoed = BODY.format(encode(secret))
        assert readable_in(echoed, secret), "the search does not see what it is to find"
        clean = scrub(echoed, secret)
        assert MASK in clean, form
        assert not readable_in(clean, secret), form
        assert clean.startswith('{"data":{"id":"4711","seen":"before '), form
        assert clean.endswith(' after"},"n":5}'), form


@pytest.mark.parametrize("form", ["plain", "base64 after one byte", "HTML, hex"])
def test_a_secret_that_was_cut_leaves_no_long_beginning(form: str) -> None:
    echoed = ECHOED_FORMS[form](SECRETS[0])
    for length in range(len(echoed)):
        clean = scrub(echoed[:length], SECRETS[0])
        # Twelve bytes are enough to recognise it, and an escape that was cut may stand for one more.
        assert not readable_in(clean, SECRETS[0][:26]), clean


def test_any_12_bytes_of_a_long_secret_are_masked() -> None:
    secret = "sk-Kq7vT2mZx9Rw4Lb8Jd3Hn6Pf"
    for start in range(len(secret) - 12 + 1):
        for before in range(9):
            text = "." * before + secret[start : start + 12] + "."
            assert scrub(text, secret) == "." * before + MASK + ".", (start, before)
    assert scrub(secret[3:14], secret) == secret[3:14]


@pytest.mark.parametrize(
    "spell",
    [
        str.lower,
        str.upper,
        str.swapcase,
        str.title,
        lambda secret: secret[-16:],
        lambda secret: secret[8:24].upper(),
        lambda secret: secret.replace("-", "_"),
        lambda secret: base64.b64encode(secret.encode()).decode().lower(),
        lambda secret: base64.b64encode(secret[5:].encode()).decode(),
        lambda secret: secret[-15:].encode().hex().title(),
        lambda secret: "".join(f"%{byte:02X}" for byte in secret.lower().encode()),
        lambda secret: f"{secret[:14]}…{secret[-14:]}",
    ],
)
def test_a_secret_of_20_characters_is_masked_in_each_spelling(spell: Callable[[str], str]) -> None:
    secret = "sk-Kq7vT2mZx9Rw4Lb8Jd3Hn6Pf"
    clean = scrub(f"Token {spell(secret)} is unknown", secret)
    assert MASK in clean
    left = unquote_to_bytes(clean.removeprefix("Token ").removesuffix(" is unknown")).decode().lower()
    assert not [part for part in re.findall(r"[a-z0-9+/=-]+", left) if len(part) >= 12]


def test_public_parts_of_what_is_sent_with_a_secret_stay() -> None:
    secrets = SecretSet(
        ["a-password-of-30-characters-00"], ["admin@example.com:a-password-of-30-characters-00"]
    )
    text = "anna@example.com is taken"
    assert SecretScrubber(secrets).scrub_text(text) is text


def test_a_text_without_a_secret_is_returned_as_it_is() -> None:
    text = json.dumps({"a": '50 % & "more" \\ pä +1 &amp; %41', "b": "c2VjcmV0" * 20})
    assert scrub(text, *SECRETS) is text
    document = {"a": [1, 2.5, None, True, "x"]}
    assert SecretScrubber(SecretSet(SECRETS)).scrub_document(document) is document


def test_each_escape_begins_with_a_mark() -> None:
    cases: list[str] = escapes.ESCAPES
    for kind in cases:
        pattern = escapes.compile_escapes([kind])
        rests = (b"41", b"u0041", b"x41", b"n", b"\\n", b"#65;", b"#x41;", b"amp;")
        first_bytes = [bytes([code]) for code in range(256)]
        begin = {first for first in first_bytes if any(pattern.match(first + rest) for rest in rests)}
        assert begin
        assert begin <= set(escapes.ESCAPE_MARKS)


def test_a_document_stays_a_document_whatever_its_secret_holds() -> None:
    document = {"id": 1, SECRETS[1]: [SECRETS[1], {"pin": 12345678}], "x": True, "n": None}
    clean = SecretScrubber(SecretSet((SECRETS[1], "12345678"))).scrub_document(document)
    assert clean == {"id": 1, MASK: [MASK, {"pin": MASK}], "x": True, "n": None}


def test_a_short_secret_is_not_searched_for() -> None:
    assert scrub("a short one", "short"[: MIN_SECRET_LENGTH - 1]) == "a short one"


def test_a_new_token_is_searched_for_too_and_the_oldest_of_many_is_not() -> None:
    secrets = SecretSet(["fixed-secret"])
    for number in range(9):
        secrets.add_recent(f"token-{number:09}")
    clean = SecretScrubber(secrets).scrub_text("fixed-secret token-000000008 token-000000007")
    assert clean == f"{MASK} {MASK} {MASK}"
    assert len(secrets.needles) < 60


@pytest.mark.nightly
@pytest.mark.parametrize(
    "unit",
    [
        *(b'{"id": 4711, "name": "Anna"}', b"\\u0041", b"%41", b"\\", b"&amp;", b"a\n", b" ", b"\t "),
        *(b"s3cr3t-T0ken", SECRETS[0].encode() + b" "),
        ECHOED_FORMS["URL-encoded, every byte"](SECRETS[0]).encode(),
    ],
)
def test_a_large_body_costs_no_more_than_its_length(unit: bytes) -> None:
    # At least one line break, so that lines are joined.
    body = unit * (262_144 // len(unit)) + b"x\n"
    scrubber = SecretScrubber(SecretSet(SECRETS))
    began = time.process_time()
    scrubber.scrub_bytes(body)
    # Far above what is measured (0.1 s), far below what a search that grows with the square takes.
    assert time.process_time() - began < 3


def test_nothing_shows_the_secrets_of_a_set() -> None:
    assert SECRETS[0] not in repr(SecretSet(SECRETS)) + repr(SecretScrubber(SecretSet(SECRETS)))
