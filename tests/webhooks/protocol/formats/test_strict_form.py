"""Forms are read strictly: each accepted one has one meaning, whatever a hostile sender writes."""

import pytest

from tests.support.rows import each_row
from webhooks.protocol.strict_form import FORM_TYPE, MAX_FIELDS, encode_form, is_form, parse_form
from webhooks.protocol.strict_json import MalformedBody

pytestmark = pytest.mark.pure


def code_of(body: bytes) -> str:
    with pytest.raises(MalformedBody) as refused:
        parse_form(body)
    assert not refused.value.pointer
    return refused.value.code


@each_row(
    [
        (b"a=1+2%2B3%262%3D4", {"a": "1 2+3&2=4"}),
        (b"a=b=c==", {"a": "b=c=="}),
        (b"a=&b", {"a": "", "b": ""}),
        (b"a=1;b=2", {"a": "1;b=2"}),
        (b"data%5Bemail%5D=a%40b.c&data[id]=8", {"data[email]": "a@b.c", "data[id]": "8"}),
        (b"n=%00&A%41=%F0%9F%98%80", {"n": "\0", "AA": "😀"}),
        ("name=Äijö".encode(), {"name": "Äijö"}),
        (b"a%3Db=1", {"a=b": "1"}),
    ]
)
def test_a_form_is_read_as_its_sender_wrote_it(body: bytes, fields: dict[str, str]) -> None:
    assert parse_form(body) == fields
    assert parse_form(encode_form(fields)) == fields


@pytest.mark.promise("T11")
@each_row(
    [
        (b"", "not-form"),
        (b"&&&", "not-form"),
        *(
            (b"a=" + escape, "not-form")
            for escape in (b"%", b"%4", b"%zz", b"%4g", b"%%41", b"100%&b=1", b"%u0041")
        ),
        *((b"a=1" + raw + b"2", "not-form") for raw in (b" ", b"\n", b"\r\n", b"\t", b"\0", b"\x7f")),
        *((b"a=" + text, "wrong-encoding") for text in (b"%ff", b"%C3", b"%ED%A0%80", b"%C0%80", b"\xe4")),
        (b"\xef\xbb\xbfa=1", "byte-order-mark"),
        (b"a=1&b=2&a=1", "duplicate-member"),
        (b"a=1&%61=2", "duplicate-member"),
        (b"&".join(b"f%d=1" % number for number in range(MAX_FIELDS + 1)), "too-many-fields"),
        (b"&" * 1_000_000, "too-many-fields"),
    ]
)
def test_a_form_with_no_single_meaning_is_refused(body: bytes, code: str) -> None:
    assert code_of(body) == code


@pytest.mark.submission
def test_a_thousand_fields_and_a_large_body_of_escapes_are_read() -> None:
    assert len(parse_form(b"&".join(b"f%d=1" % number for number in range(MAX_FIELDS)))) == MAX_FIELDS
    assert parse_form(b"a=" + b"%41" * 349_000) == {"a": "A" * 349_000}


@each_row(
    [
        (f" {FORM_TYPE.upper()} ; charset=utf-8", True),
        ("application/json", False),
        ("", False),
        (f"text/plain; type={FORM_TYPE}", False),
    ]
)
def test_a_form_is_known_by_its_media_type(content_type: str, expected: bool) -> None:
    assert is_form(content_type) is expected
