"""Strict JSON: the corpus as a body and as the value of a field, and properties of any bytes."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rows import each_row
from tests.webhooks.corpus import ACCEPTED, CASES
from webhooks.protocol import strict_json
from webhooks.protocol.strict_json import MalformedBody, field_pointer, parse_json
from webhooks.protocol.webhook_parser import parse_webhook

pytestmark = pytest.mark.pure

CODES = {case.whole for case in CASES} - {ACCEPTED}


def answer(read, body):
    """Return the code of the refusal, or ACCEPTED."""
    try:
        read(body)
    except MalformedBody as error:
        return error.code
    return ACCEPTED


def wrong_answers(read, expected):
    """Return the documents of the corpus that are answered otherwise, by their answer."""
    return {case: code for case in CASES if (code := answer(read, case.body)) != expected(case)}


def notice_with(value):
    return b'{"id":"1","entityType":"USER","eventType":"UPDATE","extra":' + value + b"}"


def typed(value):
    """Tells 1 from 1.0 and from True, which are equal."""
    return repr(value)


@pytest.mark.promise("I12", "T11")
def test_each_document_has_the_answer_of_its_class_as_a_body_and_in_an_unknown_field():
    assert wrong_answers(parse_json, lambda case: case.whole) == {}
    assert wrong_answers(lambda body: parse_webhook(notice_with(body)), lambda case: case.inside) == {}


def test_accepted_documents_read_like_in_the_standard_library():
    bodies = [case.body for case in CASES if case.whole == ACCEPTED]
    assert [body for body in bodies if typed(parse_json(body)) != typed(json.loads(body))] == []


@each_row(
    [
        (b"\xef\xbb\xbf{}", "byte-order-mark", "", 0),
        (b'{"\xc3\xa4":"' + b"x" * 3 + b'\xc0"}', "wrong-encoding", "", 10),
        (b'["\xc3\xa4"' + b",[" * 32, "too-deep", "", 68),
        (b'["\xf0\x9f\x98\x80",]', "not-json", "", 8),
        (b'["\xc3\xa4","\\ud800"]', "bad-text", "", 7),
        (b'["\\\\","\\\\\\udc00"]', "bad-text", "", 9),
        (b"[1e400]", "number-too-large", "", None),
        (b"[NaN]", "not-json", "", None),
        (b'{"a":1,"b":2,"b":3,"a":4}', "duplicate-member", "/b", None),
        (b'{"~/":1,"~/":2}', "duplicate-member", "/~0~1", None),
        (b'{"a":{"b":1,"b":2},"c":1,"c":2}', "duplicate-member", "/c", None),
        (b'{"a":1,"c":[[],{"b":{"d":1,"d":1},"e":2}]}', "duplicate-member", "/c", None),
        (b'{"a":{"b":1,"b":2},"c":{"b":1,"b":2}}', "duplicate-member", "/c", None),
        (b'[{"a":1,"a":2}]', "duplicate-member", "", None),
    ]
)
def test_a_malformed_body_is_located_by_offset_or_pointer(body, code, pointer, offset):
    with pytest.raises(MalformedBody) as caught:
        parse_json(body)
    assert (caught.value.code, caught.value.pointer, caught.value.offset) == (code, pointer, offset)


def test_a_refusal_never_repeats_the_input():
    for body in (b'{"secret":secret}', b'{"secret":1,"secret":2}', b'{"secret":"\\ud800"}', b'"secret'):
        with pytest.raises(MalformedBody) as caught:
            parse_json(body)
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert re.fullmatch(r"[a-z-]+( at byte [0-9]+)?", str(caught.value))


@each_row([(depth, *ends) for depth in (0, 1, 15, 31) for ends in ((b"[", b"]"), (b'{"a":', b"}"))])
def test_a_repeated_name_is_refused_at_every_depth(depth, opening, closing):
    for ambiguous in (b'{"b":1,"b":2}', b'{"b":1,"b":1}', b'{"b":1,"\\u0062":2}'):
        assert answer(parse_json, opening * depth + ambiguous + closing * depth) == "duplicate-member"
    assert answer(parse_json, opening * depth + b'{"b":1,"c":2}' + closing * depth) == ACCEPTED


def test_integers_keep_every_digit():
    assert parse_json(b"9" * 1_000) == 10**1_000 - 1
    assert typed(parse_json(b"[9007199254740993,1.0,-0,-0.0]")) == "[9007199254740993, 1.0, 0, -0.0]"


def test_pointers_are_escaped_as_rfc_6901_has_it():
    names = ("id", "", "a/b", "m~n", "~1", "a b")
    assert [field_pointer(name) for name in names] == ["/id", "/", "/a~1b", "/m~0n", "/~01", "/a b"]


def test_the_limits_are_those_of_the_contract():
    assert (strict_json.MAX_DEPTH, strict_json.MAX_DIGITS) == (32, 1_000)


# fmt: off
FRAGMENTS = [
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u", b"\\ud83d", b"\\ude00", b"d800", b"0", b"1", b"-", b".",
    b"e9", b"e999", b"true", b"null", b"NaN", b"-Infinity", b'"id"', b'"a"', b'"a":1', b" ", b"\n", b"\x00", b"\xc3\xa4",
    b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xff", b"[" * 31, b"]" * 31, b"9" * 999, b"//", b"'",
]
# fmt: on


@st.composite
def broken_documents(draw):
    """Return documents of the corpus with a piece replaced."""
    body = draw(st.sampled_from(CASES)).body[:4_000]
    start = draw(st.integers(0, len(body)))
    return body[:start] + draw(st.sampled_from(FRAGMENTS)) + body[start + draw(st.integers(0, 3)) :]


SOUP = st.lists(st.sampled_from(FRAGMENTS), max_size=30).map(b"".join)


@pytest.mark.nightly
@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=200), SOUP, broken_documents()))
def test_any_bytes_read_like_in_the_standard_library_or_are_malformed(body):
    answered = answer(parse_json, body)
    assert answered in CODES | {ACCEPTED}
    assert answer(parse_json, body) == answered
    if answered == ACCEPTED:
        assert typed(parse_json(body)) == typed(json.loads(body))
        json.dumps(parse_json(body), ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.submission
@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(categories=["Cs", "Lu"])), st.booleans())
def test_text_is_bad_exactly_when_it_cannot_be_written_as_utf8(text, as_name):
    """`json.dumps` escapes a lone surrogate; a high one before a low one becomes a valid pair."""
    written = json.dumps({text: 1} if as_name else [text])
    try:
        json.dumps(json.loads(written), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        expected = "bad-text"
    else:
        expected = ACCEPTED
    assert answer(parse_json, written.encode()) == expected
